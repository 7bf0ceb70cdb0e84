package main

import (
	"net/http"
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
	return newModelBehind(t, func(h http.Handler) http.Handler { return h })
}

// newModelBehind serves a model behind something that may answer in its place.
func newModelBehind(t testing.TB, wrap func(http.Handler) http.Handler) *model {
	m := &model{Model: foreign.New()}
	srv := httptest.NewServer(wrap(m))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	m.name = "openai-compatible/foreign@" + srv.URL + "/v1"
	return m
}
