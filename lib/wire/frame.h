/* frame.h: the 10-byte header of ttrpc 1.2 (containerd/ttrpc, PROTOCOL.md):
 * u32be length | u32be stream | u8 type | u8 flags. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stdint.h>

#define FRAME_HEADER 10
#define FRAME_MAX (4u << 20) /* bytes of payload; a longer frame closes the connection */

enum frame_type {
	FRAME_REQUEST = 0x01,
	FRAME_RESPONSE = 0x02,
	FRAME_DATA = 0x03,
	/* Only after Hello on the same connection. */
	FRAME_CANCEL = 0x40, /* client -> server; payload empty */
	FRAME_CREDIT = 0x41, /* receiver of Data -> sender; payload u32be bytes */
	FRAME_PING = 0x42,   /* stream 0; 8 opaque bytes; flag REMOTE_CLOSED = the answer */
	FRAME_GOAWAY = 0x43, /* stream 0; payload u32be last stream that will be served */
};

enum frame_flag {
	FRAME_REMOTE_CLOSED = 0x01,
	FRAME_REMOTE_OPEN = 0x02,
	FRAME_NO_DATA = 0x04,
};

struct frame {
	uint32_t length, stream;
	uint8_t type, flags;
};

void frame_pack(const struct frame *f, uint8_t out[FRAME_HEADER]);
void frame_unpack(const uint8_t in[FRAME_HEADER], struct frame *f);
/* The payload of CREDIT and GOAWAY. */
void frame_pack_u32(uint32_t v, uint8_t out[4]);
uint32_t frame_unpack_u32(const uint8_t in[4]);

#endif
