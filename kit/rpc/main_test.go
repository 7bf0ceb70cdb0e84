package rpc_test

import (
	"testing"

	"nullius.dev/kit/kittest"
)

func TestMain(m *testing.M) { kittest.NoLeaks(m) }
