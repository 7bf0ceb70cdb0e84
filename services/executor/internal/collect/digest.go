package collect

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"nullius.dev/kit/store"
)

func digestOf(r io.Reader) (store.Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return store.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}
