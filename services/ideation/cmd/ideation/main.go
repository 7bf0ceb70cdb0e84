// Command ideation serves nullius.ideation.v1.IdeationService and nullius.literature.v1.LiteratureService alone.
package main

import (
	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/llm"
	"nullius.dev/services/ideation"
)

type config struct {
	process.Common  `yaml:",inline"`
	ideation.Config `yaml:",inline"`
	Models          llm.Config `yaml:"models"`
}

// Validate checks the service's part.
func (c config) Validate() error { return c.Config.Validate() }

func main() {
	process.Main("ideation", config{Common: process.DefaultCommon(), Config: ideation.DefaultConfig()},
		func(c *config) *process.Common { return &c.Common }, attach)
}

func attach(h *app.Host, p process.Process, c config) error {
	door, err := llm.Attach(h, c.Models, "ideation", p.Bus, p.Blobs)
	if err != nil {
		return err
	}
	c.Config.DataDir = p.DataDir
	return ideation.Attach(h, p.Net, c.Config, ideation.Shared{Bus: p.Bus, Models: door, Ledger: door.Ledger(), Blobs: p.Blobs})
}
