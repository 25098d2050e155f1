package errand

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Worker serves methods and queues (docs/WORKERS.md). Handlers are called in
// goroutines of their own.
type Worker struct {
	Name          string             // of the program, the same for all its instances
	Services      []string           // described by Set; all their methods must have a handler
	Set           []byte             // a google.protobuf.FileDescriptorSet, imports included
	Queues        []string           // tasks of others that it takes
	Tasks, Calls  uint32             // at a time; 0: the service's defaults
	LeaseDuration time.Duration      // 0: 30 s
	Handlers      map[string]Handler // by "pkg.Service/Method"
}

// Handler answers one task's attempt or one call. Its context ends when the answer is
// not wanted any more. An error fails the attempt; Final ones are not tried again.
type Handler func(ctx context.Context, work *Work, in *dynamicpb.Message) (proto.Message, error)

// Final is an error after which trying again makes no sense.
type Final struct{ Err error }

func (f Final) Error() string { return f.Err.Error() }

// Work is what a handler may ask and tell beside its answer.
type Work struct {
	Method, Task, Queue string // Task is empty for a call
	Attempt             uint32
	Out                 *dynamicpb.Message // an empty message of the method's output
	s                   *session
	lease               uint64
}

// Progress tells how far it is, 0 to 1.
func (w *Work) Progress(ctx context.Context, fraction float64, message string) error {
	return w.s.tell(ctx, "Progress", w.lease, func(m *dynamicpb.Message) {
		Set(Set(m, "fraction", fraction), "message", message)
	})
}

// Log adds lines to the task's log.
func (w *Work) Log(ctx context.Context, lines ...string) error {
	return w.s.tell(ctx, "Log", w.lease, func(m *dynamicpb.Message) { Set(m, "lines", lines) })
}

// session is a worker from RegisterWorker to the end of its Lease stream.
type session struct {
	worker *Worker
	c      *Client
	id     string
	every  time.Duration
	mu     sync.Mutex
	stops  map[uint64]context.CancelFunc
	busy   *sync.WaitGroup // of Run: a handler may outlive its session
	again  bool // Leave said so
}

func (s *session) tell(ctx context.Context, what string, lease uint64, fill func(m *dynamicpb.Message)) error {
	m, err := s.c.New(ctx, "errand.v1.Workers/"+what)
	if err != nil {
		return err
	}
	Set(m, "worker", s.id)
	if lease != 0 {
		Set(m, "lease", lease)
	}
	fill(m)
	_, err = s.c.Call(ctx, "errand.v1.Workers/"+what, m)
	return err
}

// Run serves until ctx ends (then it finishes what it has), or until the service
// has no use for it any more. It connects again when the service was away.
//
// A handler that does not heed its context goes on beside what comes after a new
// connection; its answer counts no more.
func (w *Worker) Run(ctx context.Context, path string) error {
	var busy sync.WaitGroup

	defer busy.Wait()
	for {
		again, err := w.serve(ctx, path, &busy)
		if ctx.Err() != nil || (err == nil && !again) {
			return nil
		}
		if err != nil {
			log.Printf("%s: %v; trying again", w.Name, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (w *Worker) register(ctx context.Context, c *Client) (*session, error) {
	m, err := c.New(ctx, "errand.v1.Workers/RegisterWorker")
	if err != nil {
		return nil, err
	}
	Set(m, "name", w.Name)
	Set(m, "services", w.Services)
	Set(m, "descriptor_set", w.Set)
	Set(m, "queues", w.Queues)
	Set(m, "tasks", w.Tasks)
	Set(m, "calls", w.Calls)
	Set(m, "pid", int32(os.Getpid()))
	if w.LeaseDuration > 0 {
		d := m.Mutable(m.Descriptor().Fields().ByName("lease_duration")).Message().Interface().(*dynamicpb.Message)
		Set(Set(d, "seconds", int64(w.LeaseDuration/time.Second)), "nanos", int32(w.LeaseDuration%time.Second))
	}
	reply, err := c.Call(ctx, "errand.v1.Workers/RegisterWorker", m)
	if err != nil {
		return nil, err
	}
	lease := Get(reply, "lease_duration").Message().Interface()
	c.Refresh() // now with our own services
	return &session{worker: w, c: c, id: Get(reply, "worker").String(), stops: map[uint64]context.CancelFunc{},
		every: time.Duration(Get(lease, "seconds").Int()) * time.Second / 3}, nil
}

func (w *Worker) serve(ctx context.Context, path string, busy *sync.WaitGroup) (again bool, err error) {
	c, err := Dial(path)
	if err != nil {
		return false, err
	}
	defer c.Close()
	s, err := w.register(ctx, c)
	if err != nil {
		return false, err
	}
	s.busy = busy
	all, stop := context.WithCancel(context.Background())
	defer stop() // what still runs is lost
	in, err := c.New(all, "errand.v1.Workers/Lease")
	if err != nil {
		return false, err
	}
	orders, err := c.Stream(all, "errand.v1.Workers/Lease", Set(in, "worker", s.id))
	if err != nil {
		return false, err
	}
	defer orders.Close()
	go s.beat(ctx, all)
	for {
		order, err := orders.Next()
		if errors.Is(err, ErrEnd) {
			return s.again, nil
		}
		if err != nil {
			return false, err
		}
		s.take(all, order)
	}
}

// beat keeps the leases, and drains when the caller has enough.
func (s *session) beat(ctx, all context.Context) {
	for tick := time.NewTicker(s.every); ; {
		select {
		case <-all.Done():
			tick.Stop()
			return
		case <-ctx.Done():
			ctx = context.Background()
			s.tell(all, "Drain", 0, func(*dynamicpb.Message) {})
		case <-tick.C:
			s.tell(all, "Heartbeat", 0, func(*dynamicpb.Message) {})
		}
	}
}

func (s *session) take(all context.Context, order *dynamicpb.Message) {
	which := order.WhichOneof(order.Descriptor().Oneofs().ByName("order"))
	if which == nil {
		return
	}
	m := order.Get(which).Message().Interface()
	switch which.Name() {
	case "work":
		s.begin(all, m)
	case "stop":
		s.mu.Lock()
		if cancel := s.stops[Get(m, "lease").Uint()]; cancel != nil {
			cancel()
		}
		s.mu.Unlock()
	case "leave":
		s.again = Get(m, "again").Bool()
	}
}

func (s *session) begin(all context.Context, m protoreflect.ProtoMessage) {
	work := &Work{Method: Get(m, "method").String(), Task: Get(m, "task").String(), Queue: Get(m, "queue").String(),
		Attempt: uint32(Get(m, "attempt").Uint()), s: s, lease: Get(m, "lease").Uint()}
	ctx, cancel := context.WithCancel(all)
	input := Get(m, "input").Bytes()

	s.mu.Lock()
	s.stops[work.lease] = cancel
	s.mu.Unlock()
	s.busy.Add(1)
	go func() {
		defer s.busy.Done()
		out, err := s.handle(ctx, work, input)
		s.answer(all, work, out, err)
		s.mu.Lock()
		delete(s.stops, work.lease)
		s.mu.Unlock()
		cancel()
	}()
}

func (s *session) handle(ctx context.Context, work *Work, input []byte) (proto.Message, error) {
	fn := s.worker.Handlers[work.Method]
	if fn == nil {
		return nil, Final{fmt.Errorf("worker %s has no handler for %s", s.worker.Name, work.Method)}
	}
	d, err := s.c.method(ctx, work.Method)
	if err != nil {
		return nil, err
	}
	in := dynamicpb.NewMessage(d.Input())
	if err := proto.Unmarshal(input, in); err != nil {
		return nil, Final{err}
	}
	work.Out = dynamicpb.NewMessage(d.Output())
	return fn(ctx, work, in)
}

// The answer may come too late; then it does not count, and that is said.
func (s *session) answer(all context.Context, work *Work, out proto.Message, err error) {
	const internal = 13
	var final Final
	var data []byte

	if err == nil {
		data, err = proto.Marshal(out)
	}
	if err == nil {
		err = s.tell(all, "Complete", work.lease, func(m *dynamicpb.Message) { Set(m, "output", data) })
	} else {
		text := err.Error()
		isFinal := errors.As(err, &final)
		err = s.tell(all, "Fail", work.lease, func(m *dynamicpb.Message) {
			Set(Set(Set(m, "code", int32(internal)), "message", text), "final", isFinal)
		})
	}
	if err != nil {
		log.Printf("%s: the answer of %s%s did not count: %v", s.worker.Name, work.Method, work.Task, err)
	}
}
