package packages

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"weft/engine/host"
)

// rpmFile is what rpmbuild calls its files. Their names are the build user's words.
var rpmFile = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+~^-]*\.rpm$`)

// handedLimit is how large a file of the build user's may be, in bytes.
const handedLimit = 4 << 30

// made are the RPMs below a directory of the build user's. He looks for them: whoever
// owns a directory may put links there, and root would follow them.
func (s builds) made(ctx context.Context, v host.View, dir string) ([]string, error) {
	r, err := v.Commands.Query(ctx, host.Command{Argv: s.asUser("find", dir, "-type", "f", "-name", "*.rpm", "-print0")})
	if err != nil {
		return nil, fmt.Errorf("look for what rpmbuild made: %w", err)
	}
	files := slices.DeleteFunc(strings.Split(string(r.Stdout), "\x00"), func(file string) bool { return file == "" })
	slices.Sort(files)
	return files, nil
}

// handOver copies files of the build user's into a directory of root's, and says the
// SHA-256 of each by its name. Root never opens a path that the user could turn into a
// link: the user copies, as far as he may read, into files that root laid out for him in
// a directory of root's, and root takes no more from there than it saw at first.
func (s builds) handOver(ctx context.Context, h host.Host, work string, files []string, to string) (map[string]string, error) {
	desk := work + "/handed"
	if err := erase(ctx, h, desk); err != nil {
		return nil, err
	}
	if err := h.Files.MakeDirectory(ctx, desk, host.Attributes{}); err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		name := path.Base(file)
		if !rpmFile.MatchString(name) || slices.Contains(names, name) {
			return nil, fmt.Errorf("rpmbuild made %q, which is no name for an RPM or is there twice", file)
		}
		names = append(names, name)
		if err := h.Files.Write(ctx, desk+"/"+name, nil, host.Attributes{Owner: s.spec.User}); err != nil {
			return nil, err
		}
	}
	argv := s.asUser(slices.Concat([]string{"cp", "--"}, files, []string{desk + "/"})...)
	if _, err := h.Commands.Run(ctx, host.Command{Argv: argv, Timeout: aptTime}); err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for _, name := range names {
		sum, err := receive(ctx, h, desk+"/"+name, to+"/"+name)
		if err != nil {
			return nil, err
		}
		sums[name] = sum
	}
	return sums, erase(ctx, h, desk)
}

// receive copies a file that another user may still be writing to: what is copied has
// one size and one sum, or is refused.
func receive(ctx context.Context, h host.Host, from, to string) (string, error) {
	sum, err := host.Sum(ctx, h.View(), from)
	if err != nil {
		return "", err
	}
	f, err := h.Files.Open(ctx, from)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	if f.Size() > handedLimit {
		return "", fmt.Errorf("%s has %d bytes, more than an RPM may have", from, f.Size())
	}
	if err := h.Files.Receive(ctx, to, f, f.Size(), sum, host.Attributes{}); err != nil {
		return "", fmt.Errorf("take over %s from the build user: %w", path.Base(from), err)
	}
	return sum, nil
}
