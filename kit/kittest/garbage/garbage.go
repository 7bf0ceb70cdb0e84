// Package garbage asks a server what no caller should: requests made from the descriptors of its methods, with fields unset, at and past their bounds,
// of unknown enum values, nested deeply, and bytes that are no message. A server answers each with a refusal or, by chance, with its work.
package garbage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"nullius.dev/kit/fault"
)

// patience is how long an answer may take; a stream that is still open then was none that ends by itself.
const patience = 5 * time.Second

// Throw sends n requests to every method of a service. Each must end within patience, and not as INTERNAL: that is a fault of the server.
// Streams of a method named in endless may stay open. The package that generated the service must be linked in.
func Throw(t testing.TB, c *grpc.ClientConn, service string, rng *rand.Rand, n int, endless ...string) {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		t.Fatalf("%s: %v", service, err)
	}
	methods := d.(protoreflect.ServiceDescriptor).Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		open := false
		for _, name := range endless {
			open = open || name == string(m.Name())
		}
		for range n {
			var messages []proto.Message
			for range 1 + rng.IntN(3) {
				messages = append(messages, Message(m.Input(), rng))
			}
			if err := call(t.Context(), c, m, messages); err != nil && !(open && errors.Is(err, context.DeadlineExceeded)) {
				t.Errorf("%s: %v\nto %s", m.FullName(), err, brief(messages))
				return
			}
		}
	}
}

// call gives an error only for an answer that a server may not give.
func call(ctx context.Context, c *grpc.ClientConn, m protoreflect.MethodDescriptor, messages []proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	path := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: m.IsStreamingClient(), ServerStreams: m.IsStreamingServer()}, path)
	if !m.IsStreamingClient() {
		messages = messages[:1]
	}
	for _, msg := range messages {
		if err == nil {
			err = s.SendMsg(msg)
		}
	}
	if err == nil {
		err = s.CloseSend()
	}
	for err == nil || errors.Is(err, io.EOF) && s != nil { // EOF of a send: the answer says why
		if err = s.RecvMsg(dynamicpb.NewMessage(m.Output())); errors.Is(err, io.EOF) {
			return nil
		}
		if !m.IsStreamingServer() && err == nil {
			return nil
		}
	}
	if ctx.Err() != nil { // however gRPC words it: the answer and the limit may pass each other
		return ctx.Err()
	}
	if own := strings.HasPrefix(err.Error(), "grpc: "); own || fault.KindOf(err) != fault.Internal { // gRPC itself answers bytes that are no message
		return nil
	}
	return err
}

func brief(messages []proto.Message) string {
	var b strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&b, "{%v} ", m)
	}
	if b.Len() > 2000 {
		return b.String()[:2000] + "…"
	}
	return b.String()
}

// Message makes a message of a type; now and then it is bytes that are no message of it.
func Message(d protoreflect.MessageDescriptor, rng *rand.Rand) proto.Message {
	if rng.IntN(20) == 0 {
		b := make([]byte, rng.IntN(64))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		m := &emptypb.Empty{}
		m.ProtoReflect().SetUnknown(b) // sent as they are
		return m
	}
	m := dynamicpb.NewMessage(d)
	fill(m, rng, 0)
	return m
}

func fill(m protoreflect.Message, rng *rand.Rand, depth int) {
	fields := m.Descriptor().Fields()
	likely := 2 + rng.IntN(4)
	for i := range fields.Len() {
		f := fields.Get(i)
		if rng.IntN(6) > likely || depth > 3 && f.Message() != nil && rng.IntN(3) > 0 || depth > 40 {
			continue
		}
		switch {
		case f.IsMap():
			entries := m.Mutable(f).Map()
			for range rng.IntN(4) {
				v := entries.NewValue()
				if f.MapValue().Message() != nil {
					fill(v.Message(), rng, depth+1)
				} else {
					v = scalar(f.MapValue(), rng)
				}
				entries.Set(scalar(f.MapKey(), rng).MapKey(), v)
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for range many(rng, depth) {
				if f.Message() != nil {
					fill(list.AppendMutable().Message(), rng, depth+1)
				} else {
					list.Append(scalar(f, rng))
				}
			}
		case f.Message() != nil:
			fill(m.Mutable(f).Message(), rng, depth+1)
		default:
			m.Set(f, scalar(f, rng))
		}
	}
}

// many is how many elements a list gets: few as a rule.
func many(rng *rand.Rand, depth int) int {
	if depth < 2 && rng.IntN(30) == 0 {
		return 300
	}
	return rng.IntN(4)
}

// texts are what callers that mean no good, or know no better, write into a string.
var texts = []string{
	"", "x", "a/b", "studies/s", "studies/s/ideas/idea-1", "studies/-", "templates/toy", "ideas/_", "../../etc/passwd", "/etc/passwd", "..", ".", "~/.ssh/id_rsa", "a\x00b", "a\nb",
	"\u202egnp.exe", "*", ">", "nullius.>", "-rf", "--help", "$(id)", "`id`", "%2e%2e%2f", "<script>alert(1)</script>", "{\"a\":", "NaN", "1e999", "-1", " ", "\t", "CON", "e\u0301\u0301\u0301",
	"sha256:0000000000000000000000000000000000000000000000000000000000000000", "sha256:zz", "file:///etc/passwd", "http://169.254.169.254/", "dns:///localhost:1", "claude", "openai/x",
	"experiments/run-1/execute-1", "😀", "ﬁ", strings.Repeat("a", 300), strings.Repeat("ü", 70_000), strings.Repeat("[", 20_000),
}

func scalar(f protoreflect.FieldDescriptor, rng *rand.Rand) protoreflect.Value {
	ints := []int64{0, 1, -1, 2, 5, 100, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MaxInt64, math.MinInt64}
	n := ints[rng.IntN(len(ints))]
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rng.IntN(2) == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(n)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(floats[rng.IntN(len(floats))]))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(floats[rng.IntN(len(floats))])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(texts[rng.IntN(len(texts))]))
	default:
		return protoreflect.ValueOfString(texts[rng.IntN(len(texts))])
	}
}

var floats = []float64{0, 1, -1, 0.5, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e308}
