package telemetry

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/lmittmann/tint"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sys/unix"
)

// NewLogger writes coloured lines to a terminal and JSON elsewhere, with the ids of the trace that ctx carries. level is debug, info, warn or error; empty: info.
func NewLogger(w io.Writer, level string) *slog.Logger {
	l := slog.LevelInfo
	_ = l.UnmarshalText([]byte(strings.ToUpper(level))) // an unknown level stays info; configuration refuses it before
	var h slog.Handler = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})
	if IsTerminal(w) {
		h = tint.NewTextHandler(w, &tint.Options{Level: l, NoColor: os.Getenv("NO_COLOR") != ""})
	}
	return slog.New(traceHandler{h})
}

// IsTerminal tells whether w is a terminal, or says itself that it leads to one.
func IsTerminal(w io.Writer) bool {
	if t, ok := w.(interface{ Terminal() bool }); ok {
		return t.Terminal()
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var ask error
	err = raw.Control(func(fd uintptr) { _, ask = unix.IoctlGetTermios(int(fd), unix.TCGETS) }) // /dev/null is a device too, under whatever name it was opened
	return err == nil && ask == nil
}

type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(a)}
}
func (h traceHandler) WithGroup(n string) slog.Handler { return traceHandler{h.Handler.WithGroup(n)} }
