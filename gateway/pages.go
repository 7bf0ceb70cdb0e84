package gateway

import "net/http"

// pages serves what a browser shows.
func (s *Service) pages(mux *http.ServeMux) {}
