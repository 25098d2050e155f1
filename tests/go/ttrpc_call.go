// ttrpc_call: one unary call by containerd's Go client, to compare its answers
// with those of our own clients.
//
//	ttrpc_call [-timeout 5s] [-meta key=value]... [-n COUNT] SOCKET SERVICE METHOD [HEX]
//
// prints "code=0 message=..." and the payload in hexadecimal on the next line (an
// empty line when it has none; the details of an error follow, one
// "detail TYPE_URL HEX" each). With -n the call is made COUNT times at once on one
// connection; all answers must be the same. Exit status: 0 ok, 1 the method
// answered an error, 2 no answer.
package main

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/status"
)

// raw is a message that is its own serialized form.
type raw struct{ b []byte }

func (m *raw) Reset()                   { m.b = nil }
func (m *raw) String() string           { return hex.EncodeToString(m.b) }
func (m *raw) ProtoMessage()            {}
func (m *raw) Marshal() ([]byte, error) { return m.b, nil }
func (m *raw) Unmarshal(b []byte) error { m.b = append([]byte(nil), b...); return nil }

type pairs []string

func (p *pairs) String() string     { return strings.Join(*p, ",") }
func (p *pairs) Set(s string) error { *p = append(*p, s); return nil }

type result struct {
	text string
	exit int
}

func call(ctx context.Context, c *ttrpc.Client, service, method string, payload []byte) result {
	var out raw

	err := c.Call(ctx, service, method, &raw{payload}, &out)
	if err == nil {
		return result{fmt.Sprintf("code=0 message=\n%s\n", out.String()), 0}
	}
	st, ok := status.FromError(err)
	if !ok {
		return result{fmt.Sprintf("no answer: %v\n", err), 2}
	}
	text := fmt.Sprintf("code=%d message=%s\n%s\n", int(st.Code()), st.Message(), out.String())
	for _, d := range st.Proto().Details {
		text += fmt.Sprintf("detail %s %s\n", d.TypeUrl, hex.EncodeToString(d.Value))
	}
	return result{text, 1}
}

func main() {
	var meta pairs

	timeout := flag.Duration("timeout", 0, "the call's deadline; 0 is none")
	count := flag.Int("n", 1, "calls at once")
	flag.Var(&meta, "meta", "metadata, key=value; may be repeated")
	flag.Parse()
	if flag.NArg() < 3 {
		flag.Usage()
		os.Exit(64)
	}
	payload, err := hex.DecodeString(flag.Arg(3))
	if err != nil {
		fmt.Fprintln(os.Stderr, "ttrpc_call: the payload:", err)
		os.Exit(64)
	}
	conn, err := net.DialTimeout("unix", flag.Arg(0), 5*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ttrpc_call:", err)
		os.Exit(2)
	}
	ctx := context.Background()
	if *timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *timeout)
		defer cancel()
	}
	md := ttrpc.MD{}
	for _, p := range meta {
		k, v, _ := strings.Cut(p, "=")
		md.Append(k, v)
	}
	ctx = ttrpc.WithMetadata(ctx, md)
	client := ttrpc.NewClient(conn)
	results := make(chan result)
	for i := 0; i < *count; i++ {
		go func() { results <- call(ctx, client, flag.Arg(1), flag.Arg(2), payload) }()
	}
	first := <-results
	for i := 1; i < *count; i++ {
		if r := <-results; r != first {
			fmt.Fprintf(os.Stderr, "ttrpc_call: answers differ:\n%s%s", first.text, r.text)
			os.Exit(2)
		}
	}
	fmt.Print(first.text)
	os.Exit(first.exit)
}
