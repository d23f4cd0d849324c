package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/engine/host"
)

// manifestName is the file in a tree that says what it is and holds.
const manifestName = ".weft-build.json"

// builtAt is when all files of a tree were written, as the archive says: what was
// written since has another time.
var builtAt = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// A manifest is a result.
type manifest struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Key     string `json:"key"`
	Tree    string `json:"tree"`
	Inputs  inputs `json:"inputs"`
	Files   []file `json:"files"` // all but the manifest itself, sorted
}

// A file is one of a tree. All are root's.
type file struct {
	Path   string `json:"path"` // below the tree
	Mode   string `json:"mode,omitzero"`
	Size   int64  `json:"size,omitzero"`
	SHA256 string `json:"sha256,omitzero"`
	Target string `json:"target,omitzero"` // of a symlink
}

// readManifest reads the manifest of a tree; nil where there is none, or none that
// can be read.
func readManifest(ctx context.Context, files host.FileReader, tree string) (*manifest, error) {
	text, err := files.Read(ctx, path.Join(tree, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseManifest(text), nil
}

// parseManifest returns nil for what is no manifest, or one that speaks of files
// elsewhere: an archive may come from anywhere.
func parseManifest(text []byte) *manifest {
	var m manifest
	if json.Unmarshal(text, &m) != nil || !keyPattern(m.Key) || !clean(m.Tree) || !namePattern.MatchString(m.Name) {
		return nil
	}
	for _, f := range m.Files {
		if !below(f.Path) {
			return nil
		}
	}
	return &m
}

func keyPattern(key string) bool {
	b, err := hex.DecodeString(key)
	return err == nil && len(b) == 8 && strings.ToLower(key) == key
}

// below says whether a path of a manifest stays in the tree. Programs may call
// their files as they like.
func below(p string) bool {
	return p != "" && !path.IsAbs(p) && path.Clean(p) == p && p != "." && p != ".." && !strings.HasPrefix(p, "../")
}

// list walks a directory and says what lies in it, but for directories and the
// manifest. Special files are errors: no build installs any.
func list(ctx context.Context, files host.FileReader, root string) ([]file, error) {
	var all []file
	var walk func(dir string) error
	walk = func(dir string) error {
		names, err := files.List(ctx, path.Join(root, dir))
		if err != nil {
			return err
		}
		for _, name := range names {
			at := path.Join(dir, name)
			info, err := files.Stat(ctx, path.Join(root, at))
			if err != nil {
				return err
			}
			switch {
			case info.Type == host.Directory:
				if err := walk(at); err != nil {
					return err
				}
			case at == manifestName:
			case info.Type == host.Special:
				return fmt.Errorf("%s is neither a file nor a link", path.Join(root, at))
			default:
				all = append(all, file{Path: at, Mode: octal(info), Size: info.Size, Target: info.Target})
			}
		}
		return nil
	}
	err := walk("")
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(a.Path, b.Path) })
	return all, err
}

// octal is the mode of a file as chmod(1) writes it; empty for a link, which has
// none of its own.
func octal(info host.FileInfo) string {
	if info.Type == host.Symlink {
		return ""
	}
	n := uint64(info.Mode.Perm())
	for bit, mode := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if info.Mode&mode != 0 {
			n |= bit
		}
	}
	return fmt.Sprintf("%04o", n)
}

// modeOf reads what octal writes.
func modeOf(text string) fs.FileMode {
	n, err := strconv.ParseUint(text, 8, 16)
	if err != nil {
		return 0
	}
	mode := fs.FileMode(n & 0o777)
	for bit, m := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n&bit != 0 {
			mode |= m
		}
	}
	return mode
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// A difference is a file of a tree that is not as it was built.
type difference struct {
	Path string `json:"path"`
	What string `json:"what"` // for people: "gone", "changed", "mode 0777"
}

// drift compares a tree with its manifest: type, mode, owner and size first, and the
// content only where the file was written since.
func (m *manifest) drift(ctx context.Context, files host.FileReader, tree string) ([]difference, error) {
	var all []difference
	for _, f := range m.Files {
		what, err := f.differs(ctx, files, path.Join(tree, f.Path))
		if err != nil {
			return nil, err
		}
		if what != "" {
			all = append(all, difference{f.Path, what})
		}
	}
	return all, nil
}

func (f file) differs(ctx context.Context, files host.FileReader, at string) (string, error) {
	info, err := files.Stat(ctx, at)
	if errors.Is(err, fs.ErrNotExist) {
		return "gone", nil
	}
	if err != nil {
		return "", err
	}
	switch {
	case (f.Mode == "") != (info.Type == host.Symlink) || f.Mode != "" && info.Type != host.Regular:
		return "a " + string(info.Type), nil
	case f.Mode == "" && info.Target != f.Target:
		return "-> " + info.Target, nil
	case info.Owner != "root" || info.Group != "root":
		return "owner " + info.Owner + ":" + info.Group, nil
	case f.Mode == "":
		return "", nil
	case octal(info) != f.Mode:
		return "mode " + octal(info), nil
	case info.Size != f.Size:
		return "changed", nil
	case info.Modified.Equal(builtAt):
		return "", nil
	}
	content, err := files.Read(ctx, at)
	if err != nil || sumOf(content) == f.SHA256 {
		return "", err
	}
	return "changed", nil
}

// spoiled names a file with another content than was built, whatever its time says: an
// archive gives all its files the time of a build. Empty where there is none.
func (m *manifest) spoiled(ctx context.Context, files host.FileReader, tree string) (string, error) {
	for _, f := range m.Files {
		if f.Mode == "" {
			continue
		}
		content, err := files.Read(ctx, path.Join(tree, f.Path))
		if err != nil {
			return "", err
		}
		if sumOf(content) != f.SHA256 {
			return f.Path, nil
		}
	}
	return "", nil
}

// extras are the files in a tree that are not its own. What Python leaves beside
// a program that ran is nobody's.
func (m *manifest) extras(ctx context.Context, files host.FileReader, tree string) ([]string, error) {
	there, err := list(ctx, files, tree)
	if err != nil {
		return nil, err
	}
	own := make(map[string]bool, len(m.Files))
	for _, f := range m.Files {
		own[f.Path] = true
	}
	var all []string
	for _, f := range there {
		if !own[f.Path] && path.Base(path.Dir(f.Path)) != "__pycache__" {
			all = append(all, f.Path)
		}
	}
	return all, nil
}
