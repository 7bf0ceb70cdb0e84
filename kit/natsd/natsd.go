// Package natsd runs a NATS server with JetStream in this process. Only cmd/nullius and tests import it: it doubles a small binary.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
)

// Config of an embedded server.
type Config struct {
	Dir      string // data folder; a lock is taken on it
	Listen   string // "host:port"; empty: this process only
	MaxBytes int64  // JetStream's store; 0: 60 % of what is free, at most 64 GiB
	Log      *slog.Logger
}

// storeDir is JetStream's folder within the data folder.
const storeDir = "nats"

// minBytes is what the suite's streams and buckets reserve between them, rounded up; below it one of them could not be made.
const minBytes = 2 << 30

// Server is a running broker.
type Server struct {
	ns   *server.Server
	lock *os.File
	url  string
}

// Start takes the lock on the data folder, starts the server and waits until it is ready. Every write is synced. A folder that is in use is
// fault.Precondition DATA_DIR_LOCKED, a port in use ADDRESS_IN_USE, a disk without room STORAGE_FULL.
func Start(cfg Config) (*Server, error) {
	lock, err := Lock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s, err := start(cfg)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

func start(cfg Config) (*Server, error) {
	limit, err := quota(cfg.Dir, filepath.Join(cfg.Dir, storeDir), cfg.MaxBytes)
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: "nullius", StoreDir: filepath.Join(cfg.Dir, storeDir), JetStream: true, SyncAlways: true, JetStreamMaxStore: limit,
		JetStreamMaxMemory: 512 << 20, NoSigs: true, NoLog: true, DontListen: cfg.Listen == "", MaxPayload: 1 << 20,
	}
	if cfg.Listen != "" {
		host, port, err := hostPort(cfg.Listen)
		if err != nil {
			return nil, err
		}
		opts.Host, opts.Port = host, port
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats server: %w", err)
	}
	if cfg.Log != nil {
		ns.SetLoggerV2(logger{cfg.Log}, false, false, false)
	}
	ns.Start()
	if !ns.ReadyForConnections(20 * time.Second) {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fault.New(fault.Unavailable, "BUS_UNAVAILABLE", "the embedded NATS server was not ready within 20 s; its data lies in %s", opts.StoreDir)
	}
	s := &Server{ns: ns}
	if cfg.Listen != "" {
		s.url = ns.ClientURL()
	}
	return s, nil
}

// hostPort checks an address and that nobody listens there, since the server itself would only log that.
func hostPort(addr string) (string, int, error) {
	host, p, err := net.SplitHostPort(addr)
	port, perr := strconv.Atoi(p)
	if err != nil || perr != nil {
		return "", 0, fault.New(fault.Invalid, "FIELD_INVALID", "NATS address %q is not HOST:PORT", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", 0, fault.Wrap(err, fault.Precondition, "ADDRESS_IN_USE", "NATS cannot listen on %s", addr).WithNext("ss -ltnp 'sport = :" + p + "'")
	}
	if port == 0 {
		port = l.Addr().(*net.TCPAddr).Port
	}
	return host, port, l.Close()
}

// unusable says why a data folder is none; the cause is the person's to mend, so it is in the message.
func unusable(what, dir string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fault.New(fault.Precondition, "STORAGE_UNUSABLE", "the data folder %s cannot be %s: %v", dir, what, err).WithNext("nullius serve --data-dir DIR, with a folder of yours")
}

// Lock takes the lock on a data folder, making the folder when it is missing; closing the file frees it.
func Lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable("made", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unusable("written", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(f.Name())
		return nil, errors.Join(fault.New(fault.Precondition, "DATA_DIR_LOCKED", "process %s uses the data folder %s already; give it the command, or name another folder",
			strings.TrimSpace(string(pid)), dir).WithNext("nullius status, or --data-dir DIR"), f.Close())
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// quota is JetStream's share of the disk: below its size, since a full disk freezes JetStream. What the store holds already counts as free, else a
// server that has filled half of its quota would not start again.
func quota(dir, own string, want int64) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	usable := int64(st.Bavail)*st.Bsize + sizeOf(own)
	if want > 0 {
		if want > usable*8/10 {
			return 0, fault.New(fault.Exhausted, "STORAGE_FULL", "the quota of %d MiB is more than 80 %% of the %d MiB that are free in %s", want>>20, usable>>20, dir).
				WithNext("nullius doctor")
		}
		return want, nil
	}
	limit := min(usable*6/10, 64<<30)
	if limit < minBytes {
		return 0, fault.New(fault.Exhausted, "STORAGE_FULL", "%s has %d MiB free; %d MiB are needed", dir, usable>>20, int64(minBytes)*10/6>>20).WithNext("nullius doctor")
	}
	return limit, nil
}

// sizeOf adds up the files under dir; what cannot be read counts as nothing.
func sizeOf(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

// Connect gives a connection within the process.
func (s *Server) Connect(ctx context.Context) (*bus.Conn, error) {
	return bus.Connect(ctx, "nats://embedded", bus.Options{Name: "embedded", InProcess: s.ns})
}

// URL is where clients of other processes connect; empty when the server does not listen.
func (s *Server) URL() string { return s.url }

// Quota is JetStream's store limit in bytes.
func (s *Server) Quota() int64 { return s.ns.JetStreamConfig().MaxStore }

// Stop shuts the server down, waits for it, and frees the data folder.
func (s *Server) Stop() error {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// logger passes the server's warnings and errors on; its notices are noise here.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(f string, a ...any) { l.log.Debug("nats", "text", fmt.Sprintf(f, a...)) }
func (l logger) Warnf(f string, a ...any)   { l.log.Warn("nats", "text", fmt.Sprintf(f, a...)) }
func (l logger) Fatalf(f string, a ...any)  { l.log.Error("nats", "text", fmt.Sprintf(f, a...)) }
func (l logger) Errorf(f string, a ...any)  { l.log.Error("nats", "text", fmt.Sprintf(f, a...)) }
func (l logger) Debugf(f string, a ...any)  {}
func (l logger) Tracef(f string, a ...any)  {}
