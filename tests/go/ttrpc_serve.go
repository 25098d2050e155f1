// ttrpc_serve: a server by containerd's Go package for our clients to call.
//
//	ttrpc_serve SOCKET
//
// prints "ready" when it listens and ends when its standard input does. Service
// test.v1.Go: Echo (the payload back), Fail (NOT_FOUND with a detail), Show (is there
// a deadline, and the metadata key "k", as text), Slow (waits for the deadline).
package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/containerd/ttrpc"
	anypb "github.com/golang/protobuf/ptypes/any"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// raw is a message that is its own serialized form.
type raw struct{ b []byte }

func (m *raw) Reset()                   { m.b = nil }
func (m *raw) String() string           { return hex.EncodeToString(m.b) }
func (m *raw) ProtoMessage()            {}
func (m *raw) Marshal() ([]byte, error) { return m.b, nil }
func (m *raw) Unmarshal(b []byte) error { m.b = append([]byte(nil), b...); return nil }

func echo(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	in := &raw{}
	return in, unmarshal(in)
}

func fail(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	return nil, status.FromProto(&spb.Status{
		Code:    int32(codes.NotFound),
		Message: "no such thing",
		Details: []*anypb.Any{{TypeUrl: "type.googleapis.com/errand.v1.Problem", Value: []byte("PROBLEM")}},
	}).Err()
}

func show(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	_, deadline := ctx.Deadline()
	k, _ := ttrpc.GetMetadataValue(ctx, "k")
	return &raw{[]byte(fmt.Sprintf("deadline=%v k=%s", deadline, k))}, nil
}

func slow(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

func main() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "ttrpc_serve:", err)
		os.Exit(1)
	}
	s, err := ttrpc.NewServer()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ttrpc_serve:", err)
		os.Exit(1)
	}
	s.Register("test.v1.Go", map[string]ttrpc.Method{
		"Echo": echo, "Fail": fail, "Show": show, "Slow": slow,
	})
	go s.Serve(context.Background(), l)
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	os.Remove(os.Args[1])
}
