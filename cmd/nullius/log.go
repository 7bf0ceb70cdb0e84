package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"nullius.dev/kit/telemetry"
)

const (
	logName  = "nullius.log" // in the data folder: what the services say that a command hosts
	logLimit = 10 << 20      // bytes from which the next start begins a new file; the one before is kept as nullius.log.old
)

// hostedLog is the log of services in a command's own process. People read that command's output, which tells them of steps that failed and of what is waited
// for: so the whole log goes to a file, and beside the output stand errors alone, or with --log-level what it asks for. The file is JSON.
func (c *cli) hostedLog(dataDir string) (*slog.Logger, io.Closer, error) {
	level, inFile := c.logLevel, "info"
	switch {
	case !c.logAsked:
		level = "error"
	case c.logLevel == "debug":
		inFile = "debug"
	}
	f, err := openLog(dataDir)
	if err != nil {
		return nil, nil, err
	}
	return slog.New(slog.NewMultiHandler(telemetry.NewLogger(f, inFile).Handler(), telemetry.NewLogger(c.err, level).Handler())), f, nil
}

// openLog opens the log file of a data folder, which it makes, for appending.
func openLog(dataDir string) (*os.File, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dataDir, logName)
	if i, err := os.Stat(path); err == nil && i.Size() >= logLimit {
		if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}
