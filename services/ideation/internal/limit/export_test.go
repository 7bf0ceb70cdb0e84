package limit

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// KVOff is the bus's store of a process whose clock is off.
func KVOff(kv jetstream.KeyValue, off time.Duration) Store {
	return &shared{kv: kv, begin: time.Now().Add(-off)}
}
