package push

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

//go:embed runners/*
var embedded embed.FS

// ErrNotBuilt says that this weft was built without its runners.
var ErrNotBuilt = errors.New("this weft was built without its runners and cannot work on hosts; run make build")

// architectures are those that runners are built for, by what uname -m says.
func architecture(machine string) (arch string, ok bool) {
	switch machine {
	case "x86_64", "amd64":
		return "amd64", true
	case "aarch64", "arm64":
		return "arm64", true
	}
	return "", false
}

// An Image is a runner for one architecture.
type Image struct {
	Arch   string // as Go names it
	Digest string // SHA-256 of the uncompressed bytes, hexadecimal
	packed []byte
}

// Images are the runners that a weft carries.
type Images []Image

// Embedded are the runners in this binary, or [ErrNotBuilt]. Nothing is
// uncompressed yet: the build wrote the digests beside them.
func Embedded() (Images, error) {
	sub, err := fs.Sub(embedded, "runners")
	if err != nil {
		panic("push: " + err.Error()) // a fixed path
	}
	return ReadImages(sub)
}

// ReadImages reads weft-runner-linux-ARCH.gz and .sha256 of a directory.
func ReadImages(dir fs.FS) (Images, error) {
	var out Images
	for _, arch := range []string{"amd64", "arm64"} {
		name := "weft-runner-linux-" + arch
		packed, err := fs.ReadFile(dir, name+".gz")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the runner: %w", err)
		}
		text, err := fs.ReadFile(dir, name+".sha256")
		if err != nil {
			return nil, fmt.Errorf("read the digest of the runner: %w", err)
		}
		// The digest becomes part of command lines.
		digest := strings.TrimSpace(string(text))
		if b, err := hex.DecodeString(digest); err != nil || len(b) != sha256.Size || digest != strings.ToLower(digest) {
			return nil, fmt.Errorf("%s.sha256 holds no SHA-256 digest; run make build", name)
		}
		out = append(out, Image{Arch: arch, Digest: digest, packed: packed})
	}
	if len(out) == 0 {
		return nil, ErrNotBuilt
	}
	return out, nil
}

// Size is how many bytes are embedded, compressed.
func (i Image) Size() int { return len(i.packed) }

// Bytes is the runner itself, checked against its digest.
func (i Image) Bytes() ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(i.packed))
	if err != nil {
		return nil, fmt.Errorf("uncompress the runner for %s: %w", i.Arch, err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("uncompress the runner for %s: %w", i.Arch, err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != i.Digest {
		return nil, fmt.Errorf("the runner for %s is not the one whose digest was built in; run make build", i.Arch)
	}
	return b, nil
}

func (i Images) arch(arch string) (Image, bool) {
	for _, image := range i {
		if image.Arch == arch {
			return image, true
		}
	}
	return Image{}, false
}
