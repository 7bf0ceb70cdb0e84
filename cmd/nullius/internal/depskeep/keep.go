//go:build depskeep

// Temporary: keeps pinned requirements while the module is being written.
package depskeep

import (
	_ "google.golang.org/grpc"
	_ "google.golang.org/protobuf/proto"
	_ "github.com/nats-io/nats.go/jetstream"
	_ "go.opentelemetry.io/otel/trace"
	_ "go.opentelemetry.io/otel"
	_ "github.com/google/go-cmp/cmp"
	_ "pgregory.net/rapid"
	_ "golang.org/x/sync/errgroup"
	_ "go.yaml.in/yaml/v3"
	_ "golang.org/x/text/unicode/norm"
	_ "github.com/spf13/cobra"
	_ "charm.land/bubbletea/v2"
	_ "charm.land/lipgloss/v2"
	_ "github.com/sergi/go-diff/diffmatchpatch"
	_ "github.com/google/uuid"
)
