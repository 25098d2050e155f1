package errand

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Server streams are younger than the ttrpc that distributions ship (1.1), so their
// frames are read here, on a connection of their own (docs/PROTOCOL.md).

// ErrEnd is a stream's end when it went well.
var ErrEnd = errors.New("the stream has ended")

const (
	frameRequest, frameResponse, frameData = 1, 2, 3
	remoteClosed, noData                   = 1, 4
	frameMax                               = 4 << 20
)

// Stream is the answers of a server-streaming method.
type Stream struct {
	conn   net.Conn
	output protoreflect.MessageDescriptor
	closed bool // the last message has come
}

// Stream calls a server-streaming method. The end of ctx closes it.
func (c *Client) Stream(ctx context.Context, method string, in proto.Message) (*Stream, error) {
	d, err := c.method(ctx, method)
	if err != nil {
		return nil, err
	}
	data, err := proto.Marshal(in)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("unix", c.path)
	if err != nil {
		return nil, err
	}
	body := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte(d.Parent().FullName()))
	body = protowire.AppendBytes(protowire.AppendTag(body, 2, protowire.BytesType), []byte(d.Name()))
	body = protowire.AppendBytes(protowire.AppendTag(body, 3, protowire.BytesType), data)
	head := make([]byte, 10)
	binary.BigEndian.PutUint32(head, uint32(len(body)))
	binary.BigEndian.PutUint32(head[4:], 1)
	head[8], head[9] = frameRequest, remoteClosed
	if _, err := conn.Write(append(head, body...)); err != nil {
		conn.Close()
		return nil, err
	}
	go func() {
		<-ctx.Done()
		conn.Close()
	}()
	return &Stream{conn: conn, output: d.Output()}, nil
}

// Close cancels it.
func (s *Stream) Close() error { return s.conn.Close() }

// Next waits for a message; ErrEnd after the last one.
func (s *Stream) Next() (*dynamicpb.Message, error) {
	for !s.closed {
		head := make([]byte, 10)
		if _, err := io.ReadFull(s.conn, head); err != nil {
			return nil, fmt.Errorf("the stream broke: %w", err)
		}
		length := binary.BigEndian.Uint32(head)
		if length > frameMax {
			return nil, fmt.Errorf("a frame of %d bytes", length)
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(s.conn, payload); err != nil {
			return nil, fmt.Errorf("the stream broke: %w", err)
		}
		switch kind, flags := head[8], head[9]; kind {
		case frameResponse:
			s.closed = true
			if err := failure(bytesField(payload, 1)); err != nil {
				return nil, err
			}
		case frameData:
			s.closed = flags&remoteClosed != 0
			if flags&noData == 0 {
				m := dynamicpb.NewMessage(s.output)
				return m, proto.Unmarshal(payload, m)
			}
		}
	}
	return nil, ErrEnd
}

// failure reads a google.rpc.Status.
func failure(data []byte) error {
	text := bytesField(data, 2)

	for len(data) > 0 {
		number, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return errors.New("the stream's end is no message")
		}
		data = data[size:]
		if number == 1 && kind == protowire.VarintType {
			code, _ := protowire.ConsumeVarint(data)
			if code == 0 {
				return nil
			}
			return fmt.Errorf("code %d: %s", code, text)
		}
		if size = protowire.ConsumeFieldValue(number, kind, data); size < 0 {
			return errors.New("the stream's end is no message")
		}
		data = data[size:]
	}
	return nil
}
