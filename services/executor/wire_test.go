package executor_test

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// wire stands between an executor and its broker, and acts at one of the
// writes by which a job goes from one state to the next: what is killed there
// is killed in that state, and not a moment later.
type wire struct {
	address string // where the executor finds its broker

	mu    sync.Mutex
	job   string // watched
	seen  map[string]int
	point string // name of the write to act at; empty: none
	after bool   // the broker still gets the write; its answer is lost
	act   func()
	done  chan struct{} // closed when act was called
	cut   bool          // nothing passes any more
	conns []net.Conn
}

func newWire(t *testing.T, broker string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: l.Addr().String()}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { w.serve(c, broker) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.close()
		group.Wait()
	})
	return w
}

// arm makes the wire act at a write for a job; the channel closes when it has.
func (w *wire) arm(job, point string, after bool, act func()) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.job, w.point, w.after, w.act, w.seen, w.done, w.cut = job, point, after, act, map[string]int{}, make(chan struct{}), false
	return w.done
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func (w *wire) serve(client net.Conn, broker string) {
	server, err := net.Dial("tcp", broker)
	if err != nil {
		_ = client.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, client, server)
	w.mu.Unlock()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { // the broker's answers
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || w.dead() {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	defer server.Close()
	var rest []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		rest = append(rest, buf[:n]...)
		for {
			whole, subject, payload := frame(rest)
			if whole == 0 {
				break
			}
			if !w.pass(server, rest[:whole], subject, payload) {
				return
			}
			rest = rest[whole:]
		}
	}
}

func (w *wire) dead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

// pass sends a frame on, or acts.
func (w *wire) pass(server net.Conn, data []byte, subject string, payload []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return false
	}
	hit := w.point != "" && w.name(subject, payload) == w.point
	if !hit || w.after {
		if _, err := server.Write(data); err != nil {
			return false
		}
	}
	if hit {
		w.cut, w.point = true, ""
		w.act()
		close(w.done)
		return false
	}
	return true
}

// name tells which step in the life of the watched job a write is; empty: none.
func (w *wire) name(subject string, payload []byte) string {
	switch {
	case strings.HasPrefix(subject, "$JS.API.CONSUMER.MSG.NEXT.JOBS."):
		return "fetch"
	case strings.HasPrefix(subject, "$KV.NODES.") && bytes.Contains(payload, []byte(w.job)):
		return "announce"
	case subject == "$KV.JOB_STATE."+w.job: // CLAIMED, STAGING, RUNNING, COLLECTING, ENDED
		w.seen["record"]++
		return "record " + strconv.Itoa(w.seen["record"])
	case strings.HasPrefix(subject, "nullius.events.") && bytes.Contains(payload, []byte(w.job[strings.LastIndexByte(w.job, '/')+1:])):
		return "event"
	case strings.HasPrefix(subject, "$JS.ACK.JOBS.") && string(payload) == "+ACK" && w.seen["record"] > 0:
		return "ack"
	}
	return ""
}

// frame cuts the first message off what a NATS client has sent
// (https://docs.nats.io/reference/reference-protocols/nats-protocol); 0: it is
// not whole. Only publishes have a subject and a payload.
func frame(b []byte) (whole int, subject string, payload []byte) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		return 0, "", nil
	}
	f := strings.Fields(string(b[:end]))
	if len(f) < 3 || f[0] != "PUB" && f[0] != "HPUB" {
		return end + 2, "", nil
	}
	size, err := strconv.Atoi(f[len(f)-1])
	whole = end + 2 + size + 2
	if err != nil || len(b) < whole {
		return 0, "", nil
	}
	headers := 0
	if f[0] == "HPUB" {
		headers, _ = strconv.Atoi(f[len(f)-2])
	}
	return whole, f[1], b[end+2+headers : whole-2]
}
