package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/templates"
)

// effect is where a measurement of a template at lite size must lie, whatever its template.yaml expects.
type effect struct {
	dataset, metric string
	low, high       float64
}

// knownEffects are those of the baselines: each learns something, and none all of it.
var knownEffects = map[string][]effect{
	"MACE":                  {{"large", "force_rmse", 0.15, 0.19}, {"small", "force_rmse", 0.19, 0.4}}, // of true forces of 1.56
	"tensorf":               {{"few", "psnr", 30, 33.5}, {"many", "psnr", 27, 29.5}},
	"mobilenetV3":           {{"digits", "test_accuracy", 0.94, 0.99}, {"shapes", "test_accuracy", 0.82, 0.94}},
	"nanoGPT":               {{"words", "excess", 0.01, 0.08}, {"prose", "test_loss", 1.85, 2.2}},
	"nanoGPT_lite":          {{"words", "excess", 0.01, 0.08}},
	"2d_diffusion":          {{"rings", "kl", 0.15, 0.4}, {"grid", "kl", -0.05, 0.1}},
	"sketch_rnn":            {{"face", "test_loss", -4.4, -4}, {"house", "test_loss", -4.2, -3.85}},
	"grokking":              {{"add", "steps_train", 50, 200}, {"add", "gap", 800, 5900}, {"add", "grokked", 0.6, 1}},
	"earthquake-prediction": {{"branching_0.7", "information_gap", 0.9, 1.4}},
	"seir":                  {{"r0_2.8", "infected_peak", 0.15, 0.18}},
	"probes": {{"layer_1", "depth_r2", 0.9, 1}, {"layer_0", "depth_r2", 0, 0.5}, // a third of it before the first block
		{"layer_1", "top_accuracy", 0.8, 0.95}, {"chosen", "steering_success", 0.9, 1}, {"chosen", "unsteered_success", 0, 0.05}},
}

// changed are edits of experiment.py after which the effect that a template is about must show.
var changed = []struct {
	name, template, from, to string
	effects                  []effect
}{
	{"never without decay", "grokking", `"decay": 1.0`, `"decay": 0.0`, []effect{{"add", "grokked", 0, 0}, {"add", "steps_train", 0, 200}}},
	{"fewer contacts lower the peak", "seir", "    return 1.0\n", "    return 0.35 if infectious > 0.01 * people else 1.0\n", []effect{{"r0_2.8", "infected_peak", 0.01, 0.03}}},
	{"the divergence falls with training", "2d_diffusion", `"levels": 100, "steps": 2000`, `"levels": 100, "steps": 200`, []effect{{"rings", "kl", 0.45, 2}, {"grid", "kl", 0.5, 3}}},
	{"the image comes with training", "tensorf", `"samples": 32, "steps": 200`, `"samples": 32, "steps": 50`, []effect{{"few", "psnr", 15, 29.5}}},
	{"three bodies cut the force error", "MACE", "    return (bumps * evaluate.fade(distance)[..., None]).sum(dim=2)\n", `    radial = (bumps * evaluate.fade(distance)[..., None]).sum(dim=2)
    vector, _ = evaluate.neighbours(positions)
    unit, weight = vector / distance[..., None], evaluate.fade(distance)
    cosine, pair = unit @ unit.transpose(-1, -2), weight[..., :, None] * weight[..., None, :]
    return torch.cat([radial, torch.stack([(pair * cosine ** k).sum(dim=(2, 3)) for k in (1, 2, 3)], dim=-1)], dim=-1)
`, []effect{{"large", "force_rmse", 0.02, 0.13}}},
	{"past events beat the rate map", "earthquake-prediction", "    return np.broadcast_to(log_rate, counts.shape)[..., None]\n", `    activity, recent = np.zeros(counts.shape), np.zeros(counts.shape[1:])
    for day in range(len(counts)):
        activity[day] = recent
        recent = recent * np.exp(-1 / 8) + smooth(counts[day].astype(float))
    return np.stack([np.broadcast_to(log_rate, counts.shape), np.log(activity + 1e-3)], axis=-1)
`, []effect{{"branching_0.7", "information_gap", 0, 0.7}, {"branching_0.7", "average_precision", 0.03, 1}}},
}

// TestTemplates_liteSize measures every template twice through the executor: within what its template.yaml expects, the same digits, the known effects. Then it
// changes what should make a difference.
func TestTemplates_liteSize(t *testing.T) {
	if os.Getenv("NULLIUS_SOAK") == "" {
		t.Skip("takes half an hour of one core; NULLIUS_SOAK=1 runs it")
	}
	for _, name := range templates.Names() {
		t.Run(name, func(t *testing.T) {
			first, second := liteBaseline(t, name, exitDone), liteBaseline(t, name, exitDone)
			for id, value := range first {
				if second[id] != value {
					t.Errorf("%s is %g, then %g", id, value, second[id])
				}
			}
			if len(first) == 0 || len(first) != len(second) {
				t.Errorf("%d measurements, then %d", len(first), len(second))
			}
			shows(t, first, knownEffects[name])
		})
	}
	for _, tt := range changed {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "changed")
			if code, out, errOut := nullius(t, "template", "init", dir, "--from", tt.template); code != exitDone {
				t.Fatalf("exit code %d\n%s%s", code, out, errOut)
			}
			swap("experiment.py", tt.from, tt.to)(t, dir)
			shows(t, liteBaseline(t, dir, exitError), tt.effects) // it is not what template.yaml expects
		})
	}
}

// liteBaseline measures a template and gives its numbers by dataset/metric.
func liteBaseline(t *testing.T, template string, want int) map[string]float64 {
	t.Helper()
	code, out, errOut := nullius(t, "-o", "json", "template", "baseline", template, "--size", "lite", "--fresh")
	if code != want {
		t.Errorf("exit code %d, want %d\n%s", code, want, errOut)
	}
	run := &recordv1.Run{}
	if err := protojson.Unmarshal([]byte(out), run); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errOut)
	}
	t.Logf("%.1f s", run.GetWall().AsDuration().Seconds())
	values := map[string]float64{}
	for _, m := range run.GetMeasurements() {
		values[m.GetDataset()+"/"+m.GetMetric()] = m.GetValue()
	}
	return values
}

func shows(t *testing.T, values map[string]float64, effects []effect) {
	t.Helper()
	for _, e := range effects {
		if v, ok := values[e.dataset+"/"+e.metric]; !ok || v < e.low || v > e.high {
			t.Errorf("%s/%s is %g, want %g to %g", e.dataset, e.metric, v, e.low, e.high)
		}
	}
}

// TestKnownEffects_are_of_templates keeps the long form's table true to the templates in the short form.
func TestKnownEffects_are_of_templates(t *testing.T) {
	for name := range knownEffects {
		if !slices.Contains(templates.Names(), name) {
			t.Errorf("there is no template %s", name)
		}
	}
	for _, tt := range changed {
		dir, _, remove, err := templateFolder(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		swap("experiment.py", tt.from, tt.to)(t, dir) // fails when the line is not there
		if err := remove(); err != nil {
			t.Error(err)
		}
	}
}
