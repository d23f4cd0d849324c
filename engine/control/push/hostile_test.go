package push_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"weft/engine/control/push"
	"weft/engine/control/ssh/sshtest"
	"weft/engine/wire"
)

// flood writes until the session is closed.
func flood(w io.Writer, chunk string) {
	for {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
}

// What a host says before, instead of, and after the protocol ends in an error
// that shows a little of it, neutralised; it does not hang, and holds no more
// memory than the protocol allows for.
func TestHostileHosts(t *testing.T) {
	body := runner(t)
	probed := func(digest string) string {
		return fmt.Sprintf("\nweft-probe\nLinux\nx86_64\n0\n%s\n%s -\nweft-probed\n", imageDigest(t, body), digest)
	}
	for _, c := range []struct {
		name string
		act  sshtest.Act
		says []string
	}{
		{"garbage", func(_ string, s xssh.Channel) uint32 {
			fmt.Fprint(s, strings.Repeat("\x1b]0;owned\x07\xff\x00", 1000))
			return 3
		}, []string{`\x1b]0;owned\x07\xff`, "runs no commands"}},
		{"an endless banner", func(_ string, s xssh.Channel) uint32 { flood(s, "welcome \x1b[2J\n"); return 0 }, []string{"prints without end"}},
		{"one endless line", func(_ string, s xssh.Channel) uint32 { flood(s, "welcome"); return 0 }, []string{"prints without end", "welcome"}},
		{"long stderr", func(_ string, s xssh.Channel) uint32 {
			for range 10_000 {
				fmt.Fprint(s.Stderr(), strings.Repeat("\x1b[31m", 100)+"\n")
			}
			return 1
		}, []string{`\x1b[31m`}},
		{"a lie about the digest", func(command string, s xssh.Channel) uint32 {
			if strings.Contains(command, "weft-probe") {
				fmt.Fprint(s, probed(imageDigest(t, body)))
			}
			fmt.Fprint(s.Stderr(), "no \x1b[2J\n")
			return 127
		}, []string{"did not start", `no \x1b[2J`}},
		{"digests that are none", func(command string, s xssh.Channel) uint32 {
			if strings.Contains(command, "weft-probe") {
				fmt.Fprint(s, probed("$(reboot) ../../etc"))
			}
			return 127
		}, []string{"the runner could not be installed"}},
		{"garbage for SFTP", func(command string, s xssh.Channel) uint32 {
			switch {
			case strings.Contains(command, "weft-probe"):
				fmt.Fprint(s, probed("none"))
			case command == "subsystem sftp":
				flood(s, "\x00\x00\x00\x05\x02\x00\x00\x00\x03\xff\xff\xff\xff")
			}
			return 127
		}, []string{"the runner could not be installed"}},
		{"a huge frame", func(_ string, s xssh.Channel) uint32 {
			fmt.Fprint(s, wire.Magic+"\xff\xff\xff\xff")
			flood(s, "x")
			return 0
		}, []string{"announced"}},
		{"a frame without end", func(_ string, s xssh.Channel) uint32 {
			fmt.Fprint(s, wire.Magic+"\x00\x00\x10\x00{")
			return 0
		}, []string{"unexpected EOF"}},
		{"events without end", func(_ string, s xssh.Channel) uint32 {
			fmt.Fprint(s, wire.Magic)
			const event = `{"id":1,"unit":{"address":"x","state":"ok"}}`
			flood(s, strings.Repeat("\x00\x00\x00"+string(rune(len(event)))+event, 1000))
			return 0
		}, []string{"events came in answer to one request"}},
		{"deep nesting", func(_ string, s xssh.Channel) uint32 {
			deep := `{"id":1,"unit":{"address":"x","finding":{"outputs":` + strings.Repeat("[", 1<<16)
			fmt.Fprintf(s, "%s%c%c%c%c%s", wire.Magic, 0, 0, len(deep)>>8&0xff, len(deep)&0xff, deep)
			return 0
		}, []string{"decode a frame"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := sshtest.Impostor(t, c.act)
			var most atomic.Uint64
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			stop := watchHeap(&most)
			session, err := push.Start(ctx, connect(t, s, "root"), push.Options{
				Images: images(t, body), First: []wire.Request{{ID: 1, Hello: &wire.Hello{}}},
				Log: func(line string) {
					if strings.ContainsAny(line, "\x1b\r\x07") || len(line) > 5000 {
						t.Errorf("told %.100q", line)
					}
				},
			})
			for err == nil {
				_, err = session.Events.Read()
			}
			if session != nil {
				_ = session.Close()
			}
			stop()
			t.Logf("after %v: %.300v", time.Since(began), err)
			for _, w := range c.says {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%.500v: want %q", err, w)
				}
			}
			if strings.ContainsAny(err.Error(), "\x1b\r\x07") || len(err.Error()) > 5000 {
				t.Errorf("the error is %.1000q", err)
			}
			if n := most.Load(); n > 300<<20 {
				t.Errorf("%d MiB were held", n>>20)
			}
		})
	}
}

// watchHeap notes the most that is held, until it is stopped.
func watchHeap(most *atomic.Uint64) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapAlloc))
			}
		}
	}()
	return func() { close(done); <-ended }
}

func imageDigest(t *testing.T, body []byte) string {
	t.Helper()
	return images(t, body)[0].Digest
}
