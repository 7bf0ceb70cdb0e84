//go:build depskeep

// Temporary: keeps pinned requirements while the module is being written.
package depskeep

import (
	_ "google.golang.org/grpc"
	_ "google.golang.org/protobuf/proto"
	_ "github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
)
