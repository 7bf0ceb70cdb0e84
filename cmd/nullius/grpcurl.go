package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// grpcurl prints the calls of a command as people would make them by grpcurl. Reads are made too, since later calls depend on them; the first call that
// changes something, or that would go on for long, ends the command unmade.
type grpcurl struct {
	out     io.Writer
	address string

	mu    sync.Mutex
	told  map[string]bool
	ended bool
}

// errNotCalled ends a command whose call was printed instead.
var errNotCalled = errors.New("printed, not called")

type lookingUp struct{}

// lookup marks calls that only find out which names are meant: they are made and not printed.
func lookup(ctx context.Context) context.Context { return context.WithValue(ctx, lookingUp{}, true) }

func (g *grpcurl) options() []grpc.DialOption {
	if g == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(g.unary), grpc.WithChainStreamInterceptor(g.stream)}
}

func (g *grpcurl) stopped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended
}

// tell prints a call, once; last: the command ends with it.
func (g *grpcurl) tell(method string, req any, last bool) error {
	body := "{}"
	if m, ok := req.(proto.Message); ok {
		if b, err := protojson.Marshal(m); err == nil {
			body = string(b)
		}
	}
	return g.print(strings.TrimPrefix(method, "/"), body, last)
}

func (g *grpcurl) print(method, body string, last bool) error {
	line := fmt.Sprintf("grpcurl -plaintext -d '%s' %s %s", strings.ReplaceAll(body, "'", `'\''`), g.address, method)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return errNotCalled
	}
	if !g.told[line] {
		if g.told == nil {
			g.told = map[string]bool{}
		}
		g.told[line] = true
		if _, err := fmt.Fprintln(g.out, line); err != nil {
			return err
		}
	}
	if g.ended = last; g.ended {
		return errNotCalled
	}
	return nil
}

// reads tells whether a method changes nothing, by its name.
func reads(method string) bool {
	name := method[strings.LastIndexByte(method, '/')+1:]
	for _, verb := range []string{"Get", "List", "Read", "Search", "Resolve", "Export"} {
		if strings.HasPrefix(name, verb) {
			return true
		}
	}
	return false
}

func (g *grpcurl) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	if ctx.Value(lookingUp{}) == nil {
		if err := g.tell(method, req, !reads(method)); err != nil {
			return err
		}
	}
	return invoke(ctx, method, req, reply, cc, o...)
}

func (g *grpcurl) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
	if desc.ClientStreams {
		return unsent{ctx: ctx}, nil
	}
	s, err := open(ctx, desc, cc, method, o...)
	if err != nil {
		return nil, err
	}
	return &toldStream{s, g, method}, nil
}

// toldStream prints its request.
type toldStream struct {
	grpc.ClientStream
	g      *grpcurl
	method string
}

func (s *toldStream) SendMsg(m any) error {
	if err := s.g.tell(s.method, m, !reads(s.method)); err != nil {
		return err
	}
	return s.ClientStream.SendMsg(m)
}

// unsent takes an upload and drops it: what a command uploads is no line of grpcurl's, and its answer is empty.
type unsent struct {
	grpc.ClientStream
	ctx context.Context
}

func (u unsent) Context() context.Context { return u.ctx }
func (unsent) SendMsg(any) error          { return nil }
func (unsent) CloseSend() error           { return nil }
func (unsent) RecvMsg(any) error          { return nil }
