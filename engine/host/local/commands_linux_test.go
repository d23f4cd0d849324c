package local

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/engine/host"
)

func sh(script string) host.Command { return host.Command{Argv: []string{"sh", "-c", script}} }

func TestEnvironmentIsFixed(t *testing.T) {
	t.Setenv("WEFT_LEAK", "yes")
	c := host.Command{Argv: []string{"env"}, Env: []string{"ADDED=1"}}
	r, err := commands{}.Query(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := "PATH=" + searchPath + "\nHOME=/root\nUSER=root\nLOGNAME=root\nLC_ALL=C.UTF-8\nTERM=dumb\nADDED=1\n"
	if string(r.Stdout) != want {
		t.Errorf("got %s", r.Stdout)
	}
	if r, err = (commands{}).Query(t.Context(), sh("pwd; cat")); err != nil || string(r.Stdout) != "/\n" {
		t.Errorf("directory and stdin: %q, %v", r.Stdout, err)
	}
	c = sh("pwd")
	c.Dir = "/weft-test/no"
	if _, err = (commands{}).Query(t.Context(), c); err == nil || errors.Is(err, host.ErrNotReady) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// The child and its own child are gone when the time is over, though one of
// them ignores SIGTERM.
func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pids")
	c := sh("sleep 600 & echo $! >" + pids + "; wait")
	c.Timeout = 300 * time.Millisecond
	begin := time.Now()
	r, err := commands{}.Run(t.Context(), c)
	if !errors.Is(err, context.DeadlineExceeded) || r.Exit != 128+int(syscall.SIGTERM) {
		t.Errorf("got %+v, %v", r, err)
	}
	if took := time.Since(begin); took > usualGrace {
		t.Errorf("took %s", took)
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of the child's child", func() bool { return !running(pid) })
}

// running says whether a process runs; a zombie whose new parent is slow to
// collect it does not.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestCancelEndsAQueryAndLetsARunFinish(t *testing.T) {
	begun := filepath.Join(t.TempDir(), "begun")
	for name, test := range map[string]struct {
		do   func(ctx context.Context, c host.Command) (host.Result, error)
		want error
	}{
		"Query": {commands{}.Query, context.Canceled},
		"Run":   {commands{}.Run, nil},
	} {
		t.Run(name, func(t *testing.T) {
			fifo := begun + name
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				if f, err := os.OpenFile(fifo, os.O_WRONLY, 0); err == nil { // opens when the program reads
					cancel()
					time.AfterFunc(100*time.Millisecond, func() { f.Close() })
				}
			}()
			if _, err := test.do(ctx, host.Command{Argv: []string{"cat", fifo}}); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// A daemon that keeps stdout open does not hold up the command that began it.
func TestDaemonLeftBehind(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	r, err := commands{}.Run(t.Context(), sh("setsid sleep 600 & echo $!"))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 3*drain {
		t.Errorf("took %s", took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(r.Stdout)))
	if err != nil || !running(pid) {
		t.Errorf("the daemon %q is not there: %v", r.Stdout, err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestSignalIsToldAsAShellDoes(t *testing.T) {
	r, err := commands{}.Run(t.Context(), sh("kill -9 $$"))
	var exit *host.ExitError
	if !errors.As(err, &exit) || r.Exit != 137 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestMissingInterpreterIsNotReady(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/weft-test/no\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := (commands{}).Run(t.Context(), host.Command{Argv: []string{script}}); !errors.Is(err, host.ErrNotReady) {
		t.Errorf("got %v", err)
	}
}

// A program that ignores SIGTERM, forks into the background, holds the pipes
// open and prints without end is gone when its time is over, with all its
// children; the memory stays bounded, and the error shows how it began and how
// it ended.
func TestProgramThatBehavesBadly(t *testing.T) {
	t.Parallel()
	const grace = 100 * time.Millisecond
	pids := filepath.Join(t.TempDir(), "pids")
	script := "trap '' TERM; echo first words; echo first complaint >&2; " +
		"(trap '' TERM; echo $BASHPID >> " + pids + "; while :; do echo flood; done) & " +
		"(trap '' TERM; echo $BASHPID >> " + pids + "; exec sleep 600) & " +
		"yes complaint >&2; echo last complaint >&2; wait"
	for name, run := range map[string]func(context.Context, host.Command) (host.Result, error){"Run": commands{grace: grace}.Run, "Query": commands{grace: grace}.Query} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			r, err := run(t.Context(), host.Command{Argv: []string{"bash", "-c", script}, Stdin: make([]byte, 10<<20), Timeout: 200 * time.Millisecond})
			if !errors.Is(err, context.DeadlineExceeded) || r.Exit != 128+int(syscall.SIGKILL) {
				t.Errorf("exit %d, %v", r.Exit, err)
			}
			if took := time.Since(begin); took > usualGrace {
				t.Errorf("took %s", took)
			}
			if n := len(r.Stdout) + len(r.Stderr); n > 4*keptOutput+1000 {
				t.Errorf("%d bytes were kept", n)
			}
			if text := err.Error(); len(text) > 2000 || !strings.Contains(text, `began with "first complaint"`) ||
				!strings.Contains(text, `last words were "complaint`) || !strings.Contains(text, "ended by weft") {
				t.Errorf("the error is %.3000q", text)
			}
			text, err := os.ReadFile(pids)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(word); err != nil || running(pid) {
					waitFor(t, "the end of a child", func() bool { return !running(pid) })
				}
			}
		})
	}
}

// A program that does not read what it is given, and one that reads for ever.
func TestStdin(t *testing.T) {
	t.Parallel()
	if r, err := (commands{}).Run(t.Context(), host.Command{Argv: []string{"true"}, Stdin: make([]byte, 10<<20)}); err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := (commands{}).Run(t.Context(), host.Command{Argv: []string{"wc", "-c"}, Stdin: make([]byte, 10<<20)}); err != nil || strings.TrimSpace(string(r.Stdout)) != "10485760" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := (commands{}).Run(t.Context(), host.Command{Argv: []string{"cat"}}); err != nil || len(r.Stdout) > 0 {
		t.Errorf("without input: %+v, %v", r, err)
	}
}

// One endless line is no message.
func TestLongLineIsShownShort(t *testing.T) {
	_, err := commands{}.Run(t.Context(), sh("echo -n begin >&2; head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 3"))
	if err == nil || len(err.Error()) > 600 || !strings.Contains(err.Error(), "exit status 3: beginxxx") || !strings.HasSuffix(err.Error(), "xxxend") {
		t.Errorf("%.2000v", err)
	}
}

func TestLongOutput(t *testing.T) {
	c := sh("head -c 20000000 /dev/zero | tr '\\0' x; echo end")
	r, err := commands{}.Run(t.Context(), c)
	if err != nil || len(r.Stdout) > 2*keptOutput+100 ||
		!bytes.HasSuffix(r.Stdout, []byte("xend\n")) || !bytes.Contains(r.Stdout, []byte("bytes left out]")) {
		t.Errorf("%d bytes, %v", len(r.Stdout), err)
	}
	if _, err := (commands{}).Query(t.Context(), c); err == nil {
		t.Error("a query whose answer was cut is no error")
	}
}

func FuzzBounded(f *testing.F) {
	f.Add([]byte("abcdefghijklmnopqrstuvwxyz"), 3, 5)
	f.Add([]byte("abc"), 3, 1)
	f.Fuzz(func(t *testing.T, text []byte, limit, chunk int) {
		if limit < 1 || limit > 1000 || chunk < 1 {
			return
		}
		b := &bounded{limit: limit}
		for rest := text; len(rest) > 0; {
			n := min(chunk, len(rest))
			_, _ = b.Write(rest[:n])
			rest = rest[n:]
		}
		got := b.Bytes()
		if len(text) <= 2*limit {
			if !bytes.Equal(got, text) {
				t.Errorf("%q became %q", text, got)
			}
			return
		}
		if !bytes.HasPrefix(got, text[:limit]) || !bytes.HasSuffix(got, text[len(text)-limit:]) || b.cut() != len(text)-2*limit {
			t.Errorf("%q with limit %d became %q", text, limit, got)
		}
	})
}
