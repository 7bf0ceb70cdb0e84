package main

import (
	"net/http/httptest"
	"testing"

	"nullius.dev/bench/foreign"
)

// model is a served foreign model.
type model struct {
	*foreign.Model
	name string // as settings name it
}

func newModel(t testing.TB) *model {
	m := &model{Model: foreign.New()}
	srv := httptest.NewServer(m)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	m.name = "openai-compatible/foreign@" + srv.URL + "/v1"
	return m
}
