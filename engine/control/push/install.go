package push

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/pkg/sftp"

	"weft/engine/control/ssh"
	"weft/engine/wire"
)

// seen is what a probe saw of a host.
type seen struct {
	system  string // "Linux"
	machine string // "x86_64"
	uid     string
	digests map[string]string // of the file, by the digest that its path has
}

// probe asks the host what it is, as root.
func (s *starter) probe(ctx context.Context) (seen, error) {
	out, err := s.host.run(ctx, probeScript(s.options.Images), nil)
	var f *fault
	switch {
	case errors.As(err, &f) && (f.kind().sudo() || f.silent):
		return seen{}, s.explain(f)
	case err != nil && f == nil:
		return seen{}, err
	}
	if got, ok := parseProbe(out); ok {
		return got, nil
	}
	e := &Error{
		Kind: NoShell, Host: s.host.client.Name(),
		Says: fmt.Sprintf("the login of %s runs no commands", s.host.client.User()),
		Hint: "its shell may be nologin, sshd_config may have a ForceCommand, authorized_keys a command=, or a login script may exit",
		Err:  &wire.NoiseError{Noise: []byte(out[:min(len(out), 4096)])},
	}
	if f != nil {
		e.Stderr = f.stderr
	}
	if last := (&fault{noise: []byte(out), stderr: e.Stderr}).last(); last != "" {
		e.Says += "; it said: " + last
	}
	return seen{}, e
}

// parseProbe reads the output of probeScript. What came before the marker is a
// login script's.
func parseProbe(out string) (seen, bool) {
	_, body, ok := strings.Cut(out, "\n"+markProbe+"\n")
	if !ok {
		return seen{}, false
	}
	body, _, ok = strings.Cut(body, markProbed+"\n")
	if !ok {
		return seen{}, false
	}
	in := bufio.NewScanner(strings.NewReader(body))
	var heads []string
	s := seen{digests: map[string]string{}}
	wanted := ""
	for in.Scan() {
		fields := strings.Fields(in.Text())
		switch {
		case len(heads) < 3:
			heads = append(heads, strings.TrimSpace(in.Text()))
		case len(fields) == 1:
			wanted = fields[0]
		case len(fields) == 2 && wanted != "":
			s.digests[wanted] = fields[0]
		}
	}
	if len(heads) < 3 {
		return seen{}, false
	}
	s.system, s.machine, s.uid = heads[0], heads[1], heads[2]
	return s, true
}

// choose picks the image for a host, or says why there is none.
func (s *starter) choose(got seen) (Image, error) {
	e := &Error{Host: s.host.client.Name()}
	arch, known := architecture(got.machine)
	image, carried := s.options.Images.arch(arch)
	switch {
	case got.system != "Linux":
		e.Kind, e.Says = NotLinux, fmt.Sprintf("it runs %s, not Linux", wire.Neutralise(got.system))
		e.Hint = "weft works on Linux hosts; leave this one out"
	case !known:
		e.Kind, e.Says = NotLinux, fmt.Sprintf("there is no runner for its architecture %s", wire.Neutralise(got.machine))
		e.Hint = "weft works on x86_64 and aarch64; leave this host out"
	case !carried:
		e.Kind, e.Says = NotLinux, fmt.Sprintf("this weft was built without the runner for %s", arch)
		e.Hint = "run make build"
	case got.uid != "0":
		e.Kind, e.Says = NotRoot, fmt.Sprintf("%s is not root there", s.host.client.User())
		e.Hint = "become root with sudo (-b, and -K where it wants a password), or log in as root"
	default:
		return image, nil
	}
	return Image{}, e
}

// push gets an image to its place. SFTP goes first; whatever it meets, the
// other way either works too or says better why not.
func (s *starter) push(ctx context.Context, image Image) error {
	body, err := image.Bytes()
	if err != nil {
		return err
	}
	err = s.bySFTP(ctx, image, body)
	if err == nil {
		return nil
	}
	var lost *ssh.Error
	if ctx.Err() != nil || errors.As(err, &lost) {
		return err
	}
	out, err := s.host.run(ctx, installStdin(image.Digest, nonce()), func(w io.Writer) error {
		_, err := io.Copy(w, io.MultiReader(strings.NewReader(markBody+"\n"), bytes.NewReader(body)))
		return err
	})
	return s.installed(out, err)
}

// installed reads the result of an installing script.
func (s *starter) installed(out string, err error) error {
	var f *fault
	if errors.As(err, &f) {
		e := s.explain(f)
		if e.Kind == Failed || e.Kind == NoExec {
			e.Kind = Failed
			e.Says = "the runner could not be installed" + f.said()
			e.Hint = "look at " + Root + " there"
		}
		return e
	}
	if err == nil && !strings.Contains(out, "\n"+markInstalled+"\n") {
		return &Error{Kind: NoShell, Host: s.host.client.Name(), Says: "the runner could not be installed: the shell ended early", Hint: "run it again"}
	}
	return err
}

// bySFTP stages the image and has root put it in its place.
func (s *starter) bySFTP(ctx context.Context, image Image, body []byte) error {
	client, err := s.host.client.SFTP(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	n := nonce()
	if s.host.become == nil {
		name := path.Join(Root, image.Digest, stagedName(n))
		if err := stage(client, name, body); err != nil {
			return err
		}
		out, err := s.host.run(ctx, installStaged(image.Digest, n), nil)
		return s.installed(out, err)
	}
	name := path.Join(cacheDir, stagedName(n))
	if err := stage(client, name, body); err != nil {
		return err
	}
	err = s.feed(ctx, image, n)
	_ = client.Remove(name) // gone already where all went well
	return err
}

// feed runs feedScript. It is not for root, so it runs without sudo around it.
func (s *starter) feed(ctx context.Context, image Image, n string) error {
	command := shell(feedScript(s.host.sudo(), n), installStdin(image.Digest, n))
	p, err := s.host.open(ctx, command, nil)
	if err != nil {
		return err
	}
	out, err := p.finish(func(w io.Writer) error {
		if !s.host.password() {
			return nil
		}
		password, err := s.host.become.Password(ctx)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, password+"\n")
		return err
	})
	return s.installed(out, err)
}

// stage writes a temporary file, to the disk where the host can, and removes
// it where that fails.
func stage(client *sftp.Client, name string, body []byte) error {
	if err := makeDirectories(client, path.Dir(name)); err != nil {
		return err
	}
	f, err := client.Create(name)
	if err != nil {
		return fmt.Errorf("create %s by SFTP: %w", name, err)
	}
	_, err = f.ReadFrom(bytes.NewReader(body))
	if _, ok := client.HasExtension("fsync@openssh.com"); ok && err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Chmod(0o700)
	}
	err = errors.Join(err, f.Close())
	if info, statErr := client.Stat(name); err == nil && (statErr != nil || info.Size() != int64(len(body))) {
		err = fmt.Errorf("it came out short: %w", io.ErrShortWrite)
	}
	if err != nil {
		_ = client.Remove(name)
		return fmt.Errorf("write %s by SFTP: %w", name, err)
	}
	return nil
}

// makeDirectories makes what is missing of a path, for its owner alone.
func makeDirectories(client *sftp.Client, dir string) error {
	if dir == "." || dir == "/" {
		return nil
	}
	if info, err := client.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := makeDirectories(client, path.Dir(dir)); err != nil {
		return err
	}
	if err := client.Mkdir(dir); err != nil {
		if info, statErr := client.Stat(dir); statErr == nil && info.IsDir() {
			return nil // another weft was quicker
		}
		return fmt.Errorf("make the directory %s by SFTP: %w", dir, err)
	}
	return client.Chmod(dir, 0o700)
}
