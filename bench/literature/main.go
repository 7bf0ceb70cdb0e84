// Command literature measures the LiteratureService: how much of an engine's limit many ideas at once make use of, and how large
// and how fast a local list of papers is. Run it in the repository as
//
//	cd bench && go run ./literature [-ideas 50] [-limit 1s] [-papers 100000]
//
// It fails when ideas fail or use less than nine tenths of the calls that the limit allows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/rpc"
	"nullius.dev/kit/store"
	"nullius.dev/services/ideation"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ideas := flag.Int("ideas", 50, "ideas that are assessed at once; 0: leave this out")
	limit := flag.Duration("limit", time.Second, "the played engine refuses what comes sooner after the last request")
	papers := flag.Int("papers", 100_000, "papers of the list; 0: leave this out")
	queries := flag.Int("queries", 2000, "searches in the list")
	flag.Parse()
	err := run(ctx, *ideas, *limit, *papers, *queries)
	if err != nil {
		fmt.Fprintln(os.Stderr, "literature:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, ideas int, limit time.Duration, papers, queries int) error {
	if papers > 0 {
		if err := measureList(ctx, papers, queries); err != nil {
			return err
		}
	}
	if ideas > 0 {
		return measureLimit(ctx, ideas, limit)
	}
	return nil
}

// serve runs the ideation service as it runs in a process of its own: with a broker and a folder.
func serve(ctx context.Context, edit func(*ideation.Config), models ideation.Chatter, use func(*grpc.ClientConn) error) (err error) {
	dir, err := os.MkdirTemp("", "nullius-literature-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	broker, err := natsd.Start(natsd.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Stop()) }()
	bus, err := broker.Connect(ctx)
	if err != nil {
		return err
	}
	defer bus.Close()
	blobs, err := store.OpenDir(dir + "/blobs")
	if err != nil {
		return err
	}
	cfg := ideation.DefaultConfig()
	cfg.Listen, cfg.DataDir = "inproc:ideation", dir
	edit(&cfg)
	h := app.NewHost(ctx, slog.New(slog.NewTextHandler(io.Discard, nil)))
	defer func() { err = errors.Join(err, h.Stop()) }()
	n := rpc.NewNetwork(rpc.Options{})
	if err := ideation.Attach(h, n, cfg, ideation.Shared{Bus: bus, Models: models, Blobs: blobs}); err != nil {
		return err
	}
	conn, err := n.Dial(cfg.Listen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return use(conn)
}

// judge makes three searches of its own, and decides.
type judge struct{}

func (judge) Chat(_ context.Context, r llm.Request) (llm.Reply, error) {
	round := 0
	if _, err := fmt.Sscanf(r.Origin.Call, "round-%d", &round); err != nil {
		return llm.Reply{}, err
	}
	text := `{"action": "decide", "verdict": "novel", "explanation": "Nothing near.", "nearest": []}`
	if round <= 3 {
		text = fmt.Sprintf(`{"action": "search", "query": "early stopping %s round %d"}`, r.Origin.Idea(), round)
	}
	return llm.Reply{Text: text, Finish: llm.Stop, Model: r.Model, Source: llm.FromProvider}, nil
}
