package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/services/ideation"
	"nullius.dev/services/ideation/litfault"
)

// wantUse is the part of the calls allowed that must be made use of.
const wantUse = 0.9

// measureLimit assesses ideas at once on an engine that refuses what comes too soon.
func measureLimit(ctx context.Context, ideas int, limit time.Duration) error {
	s := litfault.New()
	defer s.Close()
	s.Limit(litfault.SemanticScholar, limit)
	found := []litfault.Paper{{Title: "One early stop", Year: 2019, DOI: "10.5555/1"}, {Title: "Two early stops", Year: 2020, DOI: "10.5555/2"}, {Title: "Three early stops", Year: 2021, DOI: "10.5555/3"}}
	s.Search(litfault.SemanticScholar, func(string, int) []litfault.Paper { return found })
	if err := os.Setenv("S2_API_KEY", "played"); err != nil {
		return err
	}
	configure := func(c *ideation.Config) {
		c.SemanticScholar.BaseURL = s.Base(litfault.SemanticScholar)
		if limit != time.Second {
			c.SemanticScholar.Interval = limit + limit/20 // as 1.05 s stands to 1 s
		}
	}
	return serve(ctx, configure, judge{}, func(conn *grpc.ClientConn) error {
		client := ideationv1.NewIdeationServiceClient(conn)
		var wg sync.WaitGroup
		var novel, told atomic.Int64
		errs := make([]error, ideas)
		begin := time.Now()
		for i := range ideas {
			wg.Go(func() { errs[i] = assess(ctx, client, i, &novel, &told) })
		}
		wg.Wait()
		took := time.Since(begin)
		good, refused := 0, 0
		for _, r := range s.Seen(litfault.SemanticScholar) {
			if r.Status == 200 {
				good++
			} else {
				refused++
			}
		}
		use := float64(good) * limit.Seconds() / took.Seconds()
		fmt.Printf("%d ideas at once, one call each %s: %d calls answered, %d refused, in %s: %.3f of those allowed; %d ideas judged on evidence, %d messages of waiting\n",
			ideas, limit, good, refused, took.Round(100*time.Millisecond), use, novel.Load(), told.Load())
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if use < wantUse || int(novel.Load()) != ideas {
			return fmt.Errorf("wanted %.1f of the calls, and every idea judged", wantUse)
		}
		return nil
	})
}

func assess(ctx context.Context, c ideationv1.IdeationServiceClient, i int, novel, told *atomic.Int64) error {
	s, err := c.AssessNovelty(ctx, &ideationv1.AssessNoveltyRequest{
		Step: fmt.Sprintf("s/idea-%d/novelty/assess", i), Model: "openai/played", Engine: "semanticscholar", TaskDescription: "T.",
		Idea: &recordv1.Idea{Name: "x", Title: fmt.Sprintf("Idea %d", i), Experiment: "Try it."},
	})
	if err != nil {
		return err
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if m.GetProgress().GetUntil() != nil {
			told.Add(1)
		}
		if m.GetResult().GetVerdict() == ideationv1.AssessNoveltyResult_NOVEL {
			novel.Add(1)
		}
	}
}
