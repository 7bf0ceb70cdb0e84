package main

import (
	"context"
	"time"

	"nullius.dev/kit/app/process"
)

// ownsProcess says that the environment is the command's to change. Tests run commands side by side in one process.
var ownsProcess = false

// ownTemp keeps temporary files in the data folder, where the next start finds what a killed process left.
func (s *suite) ownTemp() error {
	if !ownsProcess {
		return nil
	}
	remove, err := process.OwnTemp(s.dataDir)
	if err != nil {
		return err
	}
	s.host.OnStop("temporary files", time.Second, func(context.Context) error { remove(); return nil })
	return nil
}
