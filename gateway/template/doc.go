// Package template reads an experiment template and says, all at once, what is
// wrong with it.
//
// A template is a folder in AI-Scientist's format: experiment.py, plot.py,
// prompt.json and seed_ideas.json, with latex/, run_0/, data and modules if it
// has them. template.yaml is ours and optional: sizes, pool, metrics with their
// direction, protected files. Without it a template is foreign: it loads with
// defaults, and what only bends the format is a warning.
//
// Load is the one check behind `template check`, upload and study start. It
// parses and never runs what it reads: Python syntax and the presence of
// modules are asked of functions that the caller passes in, which use the
// sandbox. Everything read is hostile: sizes, depths and counts are bounded,
// links are never followed, and what is quoted in a finding is cut and escaped.
package template
