// submit: hands a method to an errand service as a task and follows it.
//
//	submit [-socket PATH] pkg.Service/Method '{"json": "input"}'
//
// prints each event, then the result as JSON. Exit status: 0 succeeded, 1 not.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"google.golang.org/protobuf/types/dynamicpb"

	"../errand"
)

func run(path, method, input string) error {
	ctx := context.Background()
	client, err := errand.Dial(path)
	if err != nil {
		return err
	}
	defer client.Close()
	id, err := client.Submit(ctx, method, input)
	if err != nil {
		return err
	}
	fmt.Println("task", id)
	err = client.Events(ctx, id, func(event *dynamicpb.Message) error {
		fmt.Println("event", errand.Get(event, "seq").Uint(), errand.Get(event, "event").String())
		return nil
	})
	if err != nil {
		return err
	}
	result, err := client.Result(ctx, id)
	if err == nil {
		fmt.Println("result", result)
	}
	return err
}

func main() {
	socket := flag.String("socket", "", "of the service; default $ERRAND_SOCKET")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(64)
	}
	if err := run(*socket, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "submit:", err)
		os.Exit(1)
	}
}
