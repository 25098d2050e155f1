package errand

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// DefaultSocket is $ERRAND_SOCKET or the system's.
func DefaultSocket() string {
	if path := os.Getenv("ERRAND_SOCKET"); path != "" {
		return path
	}
	return "/run/errand/service.sock"
}

// raw is a message that is its own serialized form, for ttrpc's codec.
type raw struct{ b []byte }

func (m *raw) Reset()                   { m.b = nil }
func (m *raw) String() string           { return fmt.Sprintf("%x", m.b) }
func (m *raw) ProtoMessage()            {}
func (m *raw) Marshal() ([]byte, error) { return m.b, nil }
func (m *raw) Unmarshal(b []byte) error { m.b = append([]byte(nil), b...); return nil }

// Client makes calls on one connection; safe for many goroutines.
type Client struct {
	path   string
	conn   *ttrpc.Client
	mu     sync.Mutex
	schema *Schema
}

// Dial connects; path "" is DefaultSocket.
func Dial(path string) (*Client, error) {
	if path == "" {
		path = DefaultSocket()
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (is errand-service running?)", path, err)
	}
	return &Client{path: path, conn: ttrpc.NewClient(conn)}, nil
}

// Close ends the connection and with it all calls.
func (c *Client) Close() error { return c.conn.Close() }

// CallBytes calls "service", "method" with serialized messages. An error of the
// service is one of google.golang.org/grpc/status.
func (c *Client) CallBytes(ctx context.Context, service, method string, in []byte) ([]byte, error) {
	var out raw
	err := c.conn.Call(ctx, service, method, &raw{in}, &out)
	return out.b, err
}

// Schema is read once; after Refresh anew.
func (c *Client) Schema(ctx context.Context) (*Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.schema != nil {
		return c.schema, nil
	}
	reply, err := c.CallBytes(ctx, "errand.v1.Schema", "Get", nil)
	if err != nil {
		return nil, err
	}
	c.schema, err = NewSchema(bytesField(reply, 2))
	return c.schema, err
}

// Refresh forgets the schema: methods have come or gone.
func (c *Client) Refresh() {
	c.mu.Lock()
	c.schema = nil
	c.mu.Unlock()
}

// method finds "pkg.Service/Method" in the schema.
func (c *Client) method(ctx context.Context, name string) (protoreflect.MethodDescriptor, error) {
	s, err := c.Schema(ctx)
	if err != nil {
		return nil, err
	}
	return s.Method(name)
}

// New makes the empty input of "pkg.Service/Method".
func (c *Client) New(ctx context.Context, method string) (*dynamicpb.Message, error) {
	d, err := c.method(ctx, method)
	if err != nil {
		return nil, err
	}
	return dynamicpb.NewMessage(d.Input()), nil
}

// Call makes a call of "pkg.Service/Method"; a durable method is waited for.
func (c *Client) Call(ctx context.Context, method string, in proto.Message) (*dynamicpb.Message, error) {
	d, err := c.method(ctx, method)
	if err != nil {
		return nil, err
	}
	data, err := proto.Marshal(in)
	if err != nil {
		return nil, err
	}
	reply, err := c.CallBytes(ctx, string(d.Parent().FullName()), string(d.Name()), data)
	if err != nil {
		return nil, err
	}
	out := dynamicpb.NewMessage(d.Output())
	return out, proto.Unmarshal(reply, out)
}

// CallJSON is Call with JSON on both sides.
func (c *Client) CallJSON(ctx context.Context, method, in string) (string, error) {
	d, err := c.method(ctx, method)
	if err != nil {
		return "", err
	}
	m, err := FromJSON(d.Input(), in)
	if err != nil {
		return "", err
	}
	out, err := c.Call(ctx, method, m)
	if err != nil {
		return "", err
	}
	return ToJSON(out), nil
}

// Submit makes a task of a method and returns its id: it is on disk then.
func (c *Client) Submit(ctx context.Context, method, in string) (string, error) {
	d, err := c.method(ctx, method)
	if err != nil {
		return "", err
	}
	input, err := FromJSON(d.Input(), in)
	if err != nil {
		return "", err
	}
	request, err := c.New(ctx, "errand.v1.Tasks/CreateTask")
	if err != nil {
		return "", err
	}
	Set(request, "method", method)
	if err := SetAny(request, "input", input); err != nil {
		return "", err
	}
	task, err := c.Call(ctx, "errand.v1.Tasks/CreateTask", request)
	if err != nil {
		return "", err
	}
	return Get(task, "id").String(), nil
}

// Events calls each with every errand.v1.TaskEvent of a task, past and to come, until
// it has ended.
func (c *Client) Events(ctx context.Context, id string, each func(event *dynamicpb.Message) error) error {
	in, err := c.New(ctx, "errand.v1.Tasks/WatchEvents")
	if err != nil {
		return err
	}
	stream, err := c.Stream(ctx, "errand.v1.Tasks/WatchEvents", Set(in, "id", id))
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		event, err := stream.Next()
		if errors.Is(err, ErrEnd) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(event); err != nil {
			return err
		}
	}
}

// Result is what a task that has succeeded answered, as JSON.
func (c *Client) Result(ctx context.Context, id string) (string, error) {
	in, err := c.New(ctx, "errand.v1.Tasks/GetTask")
	if err != nil {
		return "", err
	}
	task, err := c.Call(ctx, "errand.v1.Tasks/GetTask", Set(in, "id", id))
	if err != nil {
		return "", err
	}
	state := task.Descriptor().Fields().ByName("state").Enum().Values().ByNumber(Get(task, "state").Enum()).Name()
	if state != "SUCCEEDED" {
		return "", fmt.Errorf("task %s is %s: %s", id, state, ToJSON(Get(task, "error").Message().Interface()))
	}
	s, err := c.Schema(ctx)
	if err != nil {
		return "", err
	}
	result := Get(task, "result").Message().Interface()
	m, err := s.Message(Get(result, "type_url").String()[len(anyPrefix):])
	if err != nil {
		return "", err
	}
	if err := proto.Unmarshal(Get(result, "value").Bytes(), m); err != nil {
		return "", err
	}
	return ToJSON(m), nil
}
