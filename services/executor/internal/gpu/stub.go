//go:build !cgo

package gpu

// System returns the back end of this build.
func System() Backend {
	return Fake{Note: "no GPU: this binary was built without cgo, which NVML needs"}
}
