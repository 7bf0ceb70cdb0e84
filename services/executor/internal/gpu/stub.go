//go:build !cgo

package gpu

// System returns the finder of this build.
func System() Finder {
	return Fake{Note: "no GPU: this binary was built without cgo, which NVML needs"}
}
