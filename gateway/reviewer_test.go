package gateway_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"nullius.dev/kit/app"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/rpc"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
)

// elsewhere serves over TCP, as a process of its own would, until it is stopped.
func elsewhere(t *testing.T, address string, register func(grpc.ServiceRegistrar)) *app.Host {
	t.Helper()
	h := app.NewHost(t.Context(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err := rpc.Serve(h, kittest.Network(t), address, register); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Stop() }) // it may have been stopped
	return h
}

// freeAddress gives a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestStartStudy_asksForTheReviewerBeforeAnythingIsSpent(t *testing.T) {
	w := newWorld(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	other := freeAddress(t)
	elsewhere(t, other, func(r grpc.ServiceRegistrar) { executorv1.RegisterExecutorServiceServer(r, w.w) })
	for address, why := range map[string]string{freeAddress(t): "does not answer", silent.Addr().String(): "does not answer", other: "does not say which papers it reads"} {
		f := w.refused(&gatewayv1.StartStudyRequest{Template: "templates/toy", Settings: &gatewayv1.StudySettings{Model: "m", Reviewer: "dns:///" + address}})
		if f.Kind != fault.Precondition || f.Reason != "PREFLIGHT_FAILED" || !strings.Contains(f.Message, "dns:///"+address+" "+why) || len(f.Violations) != 1 || f.Violations[0].Field != "settings.reviewer" {
			t.Errorf("%s: %+v", why, f)
		}
	}
	w.nothingBegan()
	w.study(&gatewayv1.StudySettings{Reviewer: freeAddress(t), Until: "experiments"}) // nobody will be asked
}

func TestAReviewerThatGoesAwayIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	address := freeAddress(t)
	reviewer := func(r grpc.ServiceRegistrar) { reviewerv1.RegisterReviewerServiceServer(r, w.w) }
	before := elsewhere(t, address, reviewer)
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Reviewer: "dns:///" + address, Gates: []string{"review"}})
	idea := name + "/ideas/idea-1"
	w.ideaUntil(idea, gatewayv1.IdeaState_WAITING)
	if err := before.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.api.ApproveIdea(t.Context(), &gatewayv1.ApproveIdeaRequest{Name: idea}); err != nil {
		t.Fatal(err)
	}
	kittest.Eventually(t, 20*time.Second, func() error {
		got, err := w.api.GetIdea(t.Context(), &gatewayv1.GetIdeaRequest{Name: idea})
		if err != nil {
			return err
		}
		for _, s := range got.GetIdea().GetSteps() {
			if strings.HasPrefix(s.GetStep(), "review/") && s.GetAttempts() > 1 {
				return nil
			}
		}
		return fmt.Errorf("the review was not tried again: %v", got.GetIdea().GetSummary())
	})
	elsewhere(t, address, reviewer)
	w.ideaUntil(idea, gatewayv1.IdeaState_SUCCEEDED)
}
