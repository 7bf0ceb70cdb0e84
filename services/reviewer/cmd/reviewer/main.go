// Command reviewer serves nullius.reviewer.v1.ReviewerService alone.
package main

import (
	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/sandbox"
	"nullius.dev/services/reviewer"
)

type config struct {
	process.Common  `yaml:",inline"`
	reviewer.Config `yaml:",inline"`
	Models          llm.Config     `yaml:"models"`
	Sandbox         sandbox.Config `yaml:"sandbox"`
}

func (c config) Validate() error { return c.Config.Validate() }

func main() {
	sandbox.Main()
	process.Main("reviewer", config{Common: process.DefaultCommon(), Config: reviewer.DefaultConfig(), Sandbox: sandbox.DefaultConfig()},
		func(c *config) *process.Common { return &c.Common }, attach)
}

func attach(h *app.Host, p process.Process, c config) error {
	door, err := llm.Attach(h, c.Models, "reviewer", p.Bus, p.Blobs)
	if err != nil {
		return err
	}
	shared := reviewer.Shared{Models: door, Blobs: p.Blobs}
	if box, err := sandbox.New(h.Context(), c.Sandbox, h.Log()); err != nil {
		h.Log().WarnContext(h.Context(), "no sandbox: PDFs are refused", "error", err)
	} else {
		shared.Sandbox = box
	}
	return reviewer.Attach(h, p.Net, c.Config, shared)
}
