#include "wire/frame.h"

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void frame_pack(const struct frame *f, uint8_t out[FRAME_HEADER])
{
	put_u32(out, f->length);
	put_u32(out + 4, f->stream);
	out[8] = f->type;
	out[9] = f->flags;
}

void frame_unpack(const uint8_t in[FRAME_HEADER], struct frame *f)
{
	f->length = get_u32(in);
	f->stream = get_u32(in + 4);
	f->type = in[8];
	f->flags = in[9];
}

void frame_pack_u32(uint32_t v, uint8_t out[4])
{
	put_u32(out, v);
}

uint32_t frame_unpack_u32(const uint8_t in[4])
{
	return get_u32(in);
}
