package acceptance

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"weft/engine/control/run"
)

// canaryPlays are playbooks by file name. Every sensitive value goes into a file, a
// template, what a program reads from its standard input and from its
// environment; and the programs tell all they know.
var canaryPlays = map[string]string{
	"well.hcl": canaryVariables + `
play "well" {
  hosts = "ubuntu1"
  step "file" "/etc/canary.conf" {
    content = local.all
    mode    = "0600"
  }
  step "file" "/etc/canary.rendered" {
    content = templatefile("good.tmpl", { all = local.all })
    mode    = "0600"
  }
  step "file" "/etc/systemd/system/canary.service" {
    content = "[Service]\nEnvironmentFile=/etc/canary.conf\nExecStart=/bin/sleep infinity\n"
  }
  step "service" "canary.service" {
    running    = true
    restart_on = [step.file["/etc/canary.conf"]]
  }
  step "package" "ethtool" {}
  step "command" "tell" {
    argv        = ["/bin/sh", "-c", "cat; env; cat >&2; env >&2; sleep 0.3; touch /etc/canary-done"]
    creates     = "/etc/canary-done"
    stdin       = local.all
    environment = { CANARY = "user:${var.environment}@host", OTHERS = local.all }
    undo        = ["/bin/sh", "-c", "test -e /etc/canary-let || { env >&2; echo \"denied: $${CANARY#user:}\" >&2; exit 1; }; rm -f /etc/canary-done"]
  }
}
`,
	"ill.hcl": canaryVariables + `
play "ill" {
  hosts = "ubuntu1"
  step "file" "/etc/canary.ill" {
    content = local.all
    mode    = "0600"
  }
  step "command" "tell-and-fail" {
    argv        = ["/bin/sh", "-c", "cat >&2; env; env >&2; env | base64 >&2; env | od -An -v -tx1 | tr -d ' \n' >&2; sleep 0.3; exit 1"]
    creates     = "/etc/canary-never"
    stdin       = local.all
    environment = { CANARY = "user:${var.environment}@host", OTHERS = local.all }
    undo        = ["/bin/true"]
  }
}
`,
	"guarded.hcl": canaryVariables + `
play "guarded" {
  hosts = "ubuntu1"
  guard = "5s"
  step "command" "tell-another-day" {
    argv        = ["/bin/touch", "/etc/canary-guarded"]
    creates     = "/etc/canary-guarded"
    environment = { CANARY = "user:${var.environment}@host", OTHERS = local.all }
    undo        = ["/bin/sh", "-c", "test -e /etc/canary-let || { env >&2; echo \"denied: $${CANARY#user:}\" >&2; exit 1; }; rm -f /etc/canary-guarded"]
  }
}
`,
	"template.hcl": canaryVariables + `
play "template" {
  hosts = "ubuntu1"
  step "file" "/etc/canary.template" { content = templatefile("bad.tmpl", { all = local.all }) }
  step "file" "/etc/canary.call" { content = cidrhost(var.environment, 1) }
  step "file" "/etc/canary.owner" {
    content = "x"
    owner   = [var.typed]
  }
  step "file" "/etc/canary.mode" {
    content = "x"
    mode    = var.file
  }
}
`,
	"good.tmpl": "all = ${all}\n",
	"bad.tmpl":  "${cidrhost(all, 1)}\n",
}

const canaryVariables = `
variable "environment" { sensitive = true }
variable "file" { sensitive = true }
variable "listed" { sensitive = true }
variable "sealed" {}
variable "locked" {}
variable "typed" { sensitive = true }
locals {
  all = "environment='${var.environment}'\nfile='${var.file}'\nlisted='${var.listed}'\nsealed='${var.sealed}'\nlocked='${var.locked}'\ntyped='${var.typed}'\n"
}
`

// TestCanary gives weft secrets in every way there is, lets programs print
// them and steps fail over them, and looks for them everywhere: they are in the
// files that they were meant for, and in journals that root alone can read.
func TestCanary(t *testing.T) {
	labUp(t, inventory)
	c := newCanary(t)
	stop := c.watchArguments()

	c.weft("plan", 0, "plan", c.play("well.hcl"), "-vvv")
	c.weft("save a plan", 0, "plan", c.play("well.hcl"), "-o", "json", "--out", c.path("saved.plan"))
	c.weft("apply a saved plan", 0, "apply", c.path("saved.plan"), "-vvv")
	first := c.lastRun()
	c.weft("apply again", 0, "apply", "-y", c.play("well.hcl"), "-o", "json")
	c.lookAround("after success", 1)

	on(t, "ubuntu1", "echo changed > /etc/canary.conf; rm /etc/canary.rendered; chmod 0644 /etc/canary.conf")
	c.weft("show a difference", 0, "plan", c.play("well.hcl"), "-vvv")
	c.weft("take it back", 0, "apply", "-y", c.play("well.hcl"), "-o", "json")
	t.Setenv("WEFT_VAR_environment", c.secret("second"))
	c.weft("change a secret", 0, "apply", "-y", c.play("well.hcl"), "-vvv")

	c.weft("fail", run.RolledBack, "apply", "-y", c.play("ill.hcl"), "-vvv")
	c.weft("fail in JSON", run.RolledBack, "apply", "-y", c.play("ill.hcl"), "-o", "json")
	c.weft("fail and stay", run.HostFailure, "apply", "-y", "--no-rollback", c.play("ill.hcl"), "-vvv")
	c.weft("go on and fail again", run.HostFailure, "resume", c.lastRun(), "-y", "-vvv")
	c.weft("mistakes", run.Usage, "plan", c.play("template.hcl"), "-vvv")
	c.lookAround("after failures", 1)

	// The host takes it back by itself, and may not at first.
	c.weft("leave a guard alone", 0, "apply", "-y", c.play("guarded.hcl"), "--commit-by-hand", "-vvv")
	c.guardIs("expired")
	c.lookAround("after a guard ran out", 1)
	on(t, "ubuntu1", "touch /etc/canary-let")
	c.guardIs("undone")
	on(t, "ubuntu1", "rm /etc/canary-let")
	c.weft("hear of it", 0, "plan", c.play("guarded.hcl"), "-vvv")

	// Another day, by somebody who knows none of the secrets.
	for _, name := range []string{"WEFT_VAR_environment", "WEFT_VAR_FILE"} {
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	runs := c.plain("list the runs", 0, "runs")
	c.plain("an undo that fails", run.HostFailure, append([]string{"rollback", "-y", "-vvv"}, c.since(runs, first)...)...)
	c.lookAround("after an undo that failed", 1)
	on(t, "ubuntu1", "touch /etc/canary-let")
	c.plain("an undo", 0, append([]string{"rollback", "-y", "-o", "json"}, c.since(runs, first)...)...)
	on(t, "ubuntu1", "rm /etc/canary-let")
	c.lookAround("after all", 1)
	if left := on(t, "ubuntu1", "ls -d /etc/canary* || true"); left != "" {
		t.Errorf("left are %s", left)
	}
	stop()

	if !bytes.Contains(c.said.Bytes(), []byte("(sensitive)")) {
		t.Error("nothing was ever hidden: this test looks at the wrong places")
	}
}

// canary is what TestCanary knows.
type canary struct {
	*testing.T
	dir     string            // what is looked through at the end
	in      string            // what holds secrets by right
	cores   map[string]string // by way: what is looked for
	answers []answer
	flags   []string
	said    bytes.Buffer
	argv    map[string]bool
}

// answer is what is typed at a prompt.
type answer struct{ prompt, text string }

func newCanary(t *testing.T) *canary {
	c := &canary{T: t, dir: t.TempDir(), in: t.TempDir(), cores: map[string]string{}, argv: map[string]bool{}}
	for name, variable := range map[string]string{"state": "XDG_STATE_HOME", "cache": "XDG_CACHE_HOME", "config": "XDG_CONFIG_HOME", "tmp": "TMPDIR"} {
		c.must(os.Mkdir(c.path(name), 0o700))
		t.Setenv(variable, c.path(name))
	}
	t.Setenv("CI", "") // it would mean that nobody types
	for name, text := range canaryPlays {
		c.must(os.WriteFile(c.path(name), []byte(text), 0o600))
	}
	key, err := age.GenerateX25519Identity()
	c.must(err)
	phrase, err := age.NewScryptRecipient("correct horse battery")
	c.must(err)
	phrase.SetWorkFactor(10)
	identity := c.given("identity", key.String()+"\n")
	sealed := c.given("sealed.age", c.encrypted(fmt.Sprintf("sealed = %q\n", c.secret("sealed")), key.Recipient()))
	locked := c.given("locked.age", c.encrypted(fmt.Sprintf("locked = %q\n", c.secret("locked")), phrase))
	t.Setenv("WEFT_VAR_environment", c.secret("environment"))
	listed := c.secret("listed")
	c.flags = []string{
		"--identity", identity, "--var-file", sealed, "--var-file", locked,
		"--var-file", c.given("listed", fmt.Sprintf("listed = %q\n", listed)),
		"--var", "file=@" + c.given("file", c.secret("file")+"\n"), "-i", inventory,
	}
	c.answers = []answer{
		{"passphrase of " + locked + ": ", "correct horse battery"}, {"var.typed: ", c.secret("typed")},
		{"var.listed: ", listed}, // a saved plan has taken it out of the file
	}
	return c
}

func (c *canary) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *canary) path(name string) string { return filepath.Join(c.dir, name) }
func (c *canary) play(name string) string { return c.path(name) }

// given writes a file that holds a secret by right.
func (c *canary) given(name, text string) string {
	path := filepath.Join(c.in, name)
	c.must(os.WriteFile(path, []byte(text), 0o600))
	return path
}

func (c *canary) encrypted(text string, r age.Recipient) string {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	c.must(err)
	_, err = io.WriteString(w, text)
	c.must(errors.Join(err, w.Close()))
	return out.String()
}

// secret makes a value that is spelt differently in JSON and in URLs. Its core is
// not.
func (c *canary) secret(way string) string {
	random := make([]byte, 8)
	_, err := rand.Read(random)
	c.must(err)
	core := "c4nary" + hex.EncodeToString(random)
	c.cores[way] = core
	return `s"&/% ` + core + "<>"
}

// spellings of a core, however long the text before it.
func spellings(core string) [][]byte {
	out := [][]byte{[]byte(core), []byte(hex.EncodeToString([]byte(core))), []byte(strings.ToUpper(hex.EncodeToString([]byte(core))))}
	for before := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("?", before) + core))
		out = append(out, []byte(text[(before*8+5)/6:(before+len(core))*8/6]))
	}
	return out
}

// told finds canaries in what must hold none.
func (c *canary) told(where string, text []byte) bool {
	c.Helper()
	found := false
	for way, core := range c.cores {
		for _, s := range spellings(core) {
			if i := bytes.Index(text, s); i >= 0 {
				c.Errorf("%s: the secret of %s is there: …%q…", where, way, text[max(0, i-80):min(len(text), i+60)])
				found = true
			}
		}
	}
	return found
}

// weft runs the command at a terminal, where it asks.
func (c *canary) weft(what string, want run.Exit, args ...string) {
	c.Helper()
	flags := c.flags
	switch {
	case strings.HasSuffix(args[1], ".plan"):
		flags = c.flags[:2] // the rest is in the plan
	case args[0] == "resume":
		flags = nil // all was kept
	}
	c.heard(what, want, c.typed(append(slices.Clone(args), flags...)))
}

// plain runs it without secrets and without a terminal.
func (c *canary) plain(what string, want run.Exit, args ...string) result {
	c.Helper()
	r := weft(c, append(args, "-i", inventory)...)
	c.heard(what, want, r)
	return r
}

func (c *canary) heard(what string, want run.Exit, r result) {
	c.Helper()
	if r.exit != int(want) {
		c.Fatalf("%s: exit %d, want %d\n%s%s", what, r.exit, want, r.stdout, r.stderr)
	}
	c.told(what+", stdout", []byte(r.stdout))
	c.told(what+", stderr", []byte(r.stderr))
	c.said.WriteString(r.stdout + r.stderr)
}

// typed runs weft with a terminal for its input and its errors.
func (c *canary) typed(args []string) result {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	master, slave := terminal(c.T)
	defer master.Close()
	cmd := command(ctx, c, args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stderr, cmd.Stdout = slave, slave, &out
	err := cmd.Start()
	c.must(errors.Join(err, slave.Close()))
	errs := make(chan string)
	go func() { errs <- c.converse(master) }()
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		c.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), <-errs}
}

// converse answers what is asked, and returns all that was shown.
func (c *canary) converse(master *os.File) string {
	var shown bytes.Buffer
	heard, piece := 0, make([]byte, 4096)
	for {
		n, err := master.Read(piece)
		shown.Write(piece[:n])
		if err != nil { // EIO: the other side is closed
			return shown.String()
		}
		for _, a := range c.answers {
			if !strings.HasSuffix(shown.String()[heard:], a.prompt) {
				continue
			}
			heard = shown.Len()
			c.untilSilent(master)
			if _, err := master.WriteString(a.text + "\n"); err != nil {
				return shown.String()
			}
		}
	}
}

// untilSilent waits until the terminal shows nothing of what is typed.
func (c *canary) untilSilent(master *os.File) {
	deadline := time.Now().Add(10 * time.Second)
	for tick := time.NewTicker(time.Millisecond); time.Now().Before(deadline); <-tick.C {
		t, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS)
		if err != nil || t.Lflag&unix.ECHO == 0 {
			return
		}
	}
	c.Error("the terminal shows what is typed")
}

// terminal opens a pseudo-terminal, pts(4).
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// watchArguments looks at the arguments of all processes until it is stopped:
// those of the lab's hosts are processes of this machine too.
func (c *canary) watchArguments() (stop func()) {
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
			}
			lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range lines {
				if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
					c.argv[string(b)] = true
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		all := strings.Join(slices.Collect(maps.Keys(c.argv)), "\n")
		if !strings.Contains(all, "sleep 0.3") {
			c.Error("no program of a step was seen at work")
		}
		c.told("arguments of processes", []byte(all))
	}
}

var runID = regexp.MustCompile(`20[0-9]{6}T[0-9.]{6,}Z-[0-9a-f]{6}`)

// lastRun is the last run that was named.
func (c *canary) lastRun() string {
	all := runID.FindAllString(c.said.String(), -1)
	if len(all) == 0 {
		c.Fatal("no run was named")
	}
	return all[len(all)-1]
}

// since are the runs from one on.
func (c *canary) since(list result, first string) []string {
	var out []string
	for _, id := range runID.FindAllString(list.stdout, -1) {
		if id >= first && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// journalFile is where secrets lie by design: what an undo needs.
var journalFile = regexp.MustCompile(`^var/lib/weft/runs/[^/]+/journal$`)

// lookAround looks through what weft and the host keep. Of the journals as many
// must hold a secret.
func (c *canary) lookAround(when string, journals int) {
	c.Helper()
	c.must(filepath.WalkDir(c.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		c.told(when+", "+path, b)
		return err
	}))
	c.told(when+", journald", []byte(on(c, "ubuntu1", "journalctl --no-pager -a -o verbose")))
	held := 0
	files := tar.NewReader(strings.NewReader(on(c, "ubuntu1",
		"cd /; tar -cf - --warning=none --ignore-failed-read var/log tmp run var/tmp var/cache/debconf var/lib/weft root home || test $? = 1")))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		c.must(err)
		b, err := io.ReadAll(files)
		c.must(err)
		if !journalFile.MatchString(h.Name) {
			c.told(when+", "+h.Name, b)
		} else if c.holds(b) {
			held++
		}
		c.ofRoot(h)
	}
	if held < journals {
		c.Errorf("%s: %d journals hold a secret, want %d: what would an undo bring back?", when, held, journals)
	}
}

// guardIs waits for what the host reports of its guard.
func (c *canary) guardIs(state string) {
	c.Helper()
	on(c, "ubuntu1", fmt.Sprintf("for i in $(seq 400); do grep -q '\"state\":\"%s\"' /var/lib/weft/guard/report && exit 0; sleep 0.1; done; cat /var/lib/weft/guard/*; exit 1", state))
}

func (c *canary) holds(text []byte) bool {
	for _, core := range c.cores {
		if bytes.Contains(text, []byte(core)) {
			return true
		}
	}
	return false
}

// ofRoot wants root alone to read what is below the state directory.
func (c *canary) ofRoot(h *tar.Header) {
	switch {
	case !strings.HasPrefix(h.Name, "var/lib/weft"):
	case h.Uid != 0 || h.Gid != 0:
		c.Errorf("%s belongs to %d:%d", h.Name, h.Uid, h.Gid)
	case h.Typeflag == tar.TypeDir && h.Mode&0o777 != 0o700, journalFile.MatchString(h.Name) && h.Mode&0o777 != 0o600:
		c.Errorf("%s has the mode %o", h.Name, h.Mode)
	}
}
