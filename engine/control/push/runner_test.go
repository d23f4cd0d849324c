package push_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"weft/engine/control/push"
	"weft/engine/control/ssh"
	"weft/engine/control/ssh/sshtest"
	"weft/engine/wire"
)

// standIn is a runner that greets and says goodbye. What makes it long is data
// of no meaning, so that small disks are too small for it.
const standIn = `package main

import (
	"fmt"
	"os"

	"weft/engine/wire"
)

func main() {
	if len(os.Args) != 2 || os.Args[1] != "serve" {
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "the stand-in runs as", os.Getuid(), "\x1b[31m")
	in, out := wire.NewReader[wire.Request](os.Stdin), wire.NewWriter[wire.Event](os.Stdout)
	for {
		m, err := in.Read()
		switch {
		case err != nil:
			fmt.Fprintln(os.Stderr, "the session was cut")
			os.Exit(1)
		case m.Hello != nil:
			out.Write(wire.Event{ID: m.ID, Hello: &wire.HelloEvent{}}, wire.Event{ID: m.ID, Done: &wire.Done{}})
		case m.Bye != nil:
			out.Write(wire.Event{ID: m.ID, Done: &wire.Done{}})
			return
		}
	}
}
`

// built compiles the stand-in once for all tests.
var built = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp(".", "standin") // inside the module, for its imports
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(standIn), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "runner"), "./"+dir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	return os.ReadFile(filepath.Join(dir, "runner"))
})

func runner(t testing.TB) []byte {
	t.Helper()
	b, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// images carries a binary for this machine and something else for the other
// architecture.
func images(t testing.TB, body []byte) push.Images {
	t.Helper()
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	if other == "" {
		t.Skip("no runner is built for this architecture")
	}
	dir := fstest.MapFS{}
	for arch, b := range map[string][]byte{runtime.GOARCH: body, other: []byte("another machine's")} {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(b)
		w.Close()
		dir["weft-runner-linux-"+arch+".gz"] = &fstest.MapFile{Data: z.Bytes()}
		dir["weft-runner-linux-"+arch+".sha256"] = &fstest.MapFile{Data: []byte(digest(b) + "\n")}
	}
	out, err := push.ReadImages(dir)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var longAgo = time.Now().Add(-24 * time.Hour)

var hello = []wire.Request{{ID: 1, Hello: &wire.Hello{Run: "r", Host: "box", Intent: wire.Look}}}

func connect(t testing.TB, s *sshtest.Server, user string) *ssh.Client {
	t.Helper()
	d, err := ssh.NewDialer(ssh.Options{UserConfig: "none", SystemConfig: "none", ConfigFiles: []string{s.ClientConfig(t, user)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	c, err := d.Dial(t.Context(), ssh.Target{Name: "box"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// start starts a session and tells how many pushes that took.
func start(t testing.TB, c *ssh.Client, o push.Options) (session *push.Session, pushes int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	o.First = hello
	o.Pushing = func(push.Image) { pushes++ }
	session, err = push.Start(ctx, c, o)
	if err == nil {
		t.Cleanup(func() { session.Close() })
	}
	return session, pushes, err
}

// talk shows that a session works, to its end.
func talk(t testing.TB, s *push.Session) {
	t.Helper()
	for _, want := range []func(wire.Event) bool{
		func(e wire.Event) bool { return e.ID == 1 && e.Hello != nil },
		func(e wire.Event) bool { return e.ID == 1 && e.Done != nil },
	} {
		if e, err := s.Events.Read(); err != nil || !want(e) {
			t.Fatalf("read %+v, %v", e, err)
		}
	}
	if err := s.Requests.Write(wire.Request{ID: 2, Bye: &wire.Bye{}}); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Events.Read(); err != nil || e.ID != 2 || e.Done == nil {
		t.Fatalf("read %+v, %v", e, err)
	}
	if err := s.Wait(); err != nil {
		t.Fatalf("the runner ended with %v", err)
	}
}

// works starts, talks, and tells how many pushes that took.
func works(t testing.TB, c *ssh.Client, o push.Options) (pushes int) {
	t.Helper()
	s, pushes, err := start(t, c, o)
	if err != nil {
		t.Fatal(err)
	}
	talk(t, s)
	return pushes
}

// files are what lies in the runners' directory of a server.
func files(t testing.TB, s *sshtest.Server) (names []string) {
	t.Helper()
	root := s.InHost(push.Root)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && path != root {
			rel, _ := filepath.Rel(root, path)
			names = append(names, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
