// words: a worker in Go: one method that is called through, one that is leased.
//
//	words [-socket PATH] words.pb
//
// words.pb: protoc --include_imports --descriptor_set_out=words.pb words.proto
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"../errand"
)

func count(ctx context.Context, work *errand.Work, in *dynamicpb.Message) (proto.Message, error) {
	words := strings.Fields(errand.Get(in, "text").String())
	return errand.Set(work.Out, "words", int32(len(words))), nil
}

func echo(ctx context.Context, work *errand.Work, in *dynamicpb.Message) (proto.Message, error) {
	words := strings.Fields(errand.Get(in, "text").String())
	for i, word := range words {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if err := work.Log(ctx, word); err != nil {
			return nil, err
		}
		if err := work.Progress(ctx, float64(i+1)/float64(len(words)), word); err != nil {
			return nil, err
		}
	}
	return errand.Set(work.Out, "text", strings.Join(words, " ")), nil
}

func main() {
	socket := flag.String("socket", "", "of the service; default $ERRAND_SOCKET")
	flag.Parse()
	set, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	worker := errand.Worker{
		Name: "words", Services: []string{"words.v1.Words"}, Set: set, Tasks: 4,
		LeaseDuration: 10 * time.Second,
		Handlers:      map[string]errand.Handler{"words.v1.Words/Count": count, "words.v1.Words/Echo": echo},
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := worker.Run(ctx, *socket); err != nil {
		log.Fatal(err)
	}
}
