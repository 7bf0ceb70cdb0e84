package gateway

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"nullius.dev/kit/app"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/rpc"
)

// peekLimit is how long a connection may take to say what it speaks.
const peekLimit = 10 * time.Second

// listen serves everything on the one port: HTTP/2 with prior knowledge is gRPC, all else HTTP.
func (s *Service) listen(h *app.Host, n *rpc.Network) error {
	if err := s.checkAddress(); err != nil {
		return err
	}
	l, err := n.Listen(s.cfg.Listen)
	if err != nil {
		return err
	}
	s.address = l.Addr().String()
	gs := rpc.NewServer(h, s.register)
	web := &http.Server{Handler: s.web(h), ReadHeaderTimeout: peekLimit, BaseContext: func(net.Listener) context.Context { return h.Context() }}
	split := newSplitter(l)
	h.Go("gateway port", 10*time.Second, func(ctx context.Context) error {
		var wg sync.WaitGroup
		wg.Go(split.run)
		wg.Go(func() { _ = web.Serve(split.web) }) // ends with the listener
		wg.Go(func() { _ = gs.Serve(split.grpc) })
		<-ctx.Done()
		err := l.Close()
		gs.StopWithin(5 * time.Second)
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if web.Shutdown(sctx) != nil {
			_ = web.Close() // event streams do not end by themselves
		}
		wg.Wait()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		return err
	})
	h.Log().InfoContext(h.Context(), "serving", "address", s.address)
	return nil
}

// Address is where the port listens.
func (s *Service) Address() string { return s.address }

// checkAddress refuses to open the port to others without protection.
func (s *Service) checkAddress() error {
	host, _, err := net.SplitHostPort(s.cfg.Listen)
	if err != nil {
		return fault.New(fault.Invalid, "FIELD_INVALID", "listen address %q is not HOST:PORT", s.cfg.Listen).
			WithField("listen", "expected HOST:PORT").WithNext("nullius serve --listen 127.0.0.1:7700")
	}
	ip := net.ParseIP(host)
	if host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	if !s.cfg.Insecure {
		return fault.New(fault.Precondition, "PREFLIGHT_FAILED", "%s can be reached from other machines, and there is no authentication yet", s.cfg.Listen).
			WithNext("--listen 127.0.0.1:7700, or --insecure to accept that")
	}
	s.log.Warn("listening beyond loopback without authentication", "address", s.cfg.Listen)
	return nil
}

// splitter hands each connection to gRPC or HTTP by its first three bytes: "PRI" opens HTTP/2 with prior knowledge.
type splitter struct {
	from net.Listener
	grpc *handed
	web  *handed
}

func newSplitter(l net.Listener) *splitter {
	return &splitter{from: l, grpc: newHanded(l.Addr()), web: newHanded(l.Addr())}
}

func (s *splitter) run() {
	var wg sync.WaitGroup
	defer func() {
		_ = s.grpc.Close()
		_ = s.web.Close()
		wg.Wait()
	}()
	for {
		c, err := s.from.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { s.hand(c) })
	}
}

func (s *splitter) hand(c net.Conn) {
	_ = c.SetReadDeadline(time.Now().Add(peekLimit))
	r := bufio.NewReaderSize(c, 512)
	head, err := r.Peek(3)
	if err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	to := s.web
	if string(head) == "PRI" {
		to = s.grpc
	}
	select {
	case to.conns <- &peeked{c, r}:
	case <-to.done:
		_ = c.Close()
	}
}

// handed is a listener whose connections come from the splitter.
type handed struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHanded(a net.Addr) *handed {
	return &handed{addr: a, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handed) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

func (h *handed) Addr() net.Addr { return h.addr }

type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }
