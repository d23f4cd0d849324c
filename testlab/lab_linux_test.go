package testlab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be what weft is to a lab: the supervisor of a host, and a weft lab up to be killed.
func TestMain(m *testing.M) {
	if len(os.Args) != 3 {
		os.Exit(m.Run())
	}
	var err error
	switch argument := os.Args[2]; os.Args[1] {
	case "supervise":
		err = Supervise(argument)
	case "check":
		err = Check(Options{State: argument})
	case "up":
		err = withLab(argument, (*Lab).Up)
	case "down":
		err = withLab(argument, (*Lab).Down)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// upRequest tells another process what lab to bring up.
type upRequest struct {
	Spec       Spec
	State      string
	Supervisor []string
}

func withLab(path string, do func(*Lab, context.Context) error) error {
	var wanted upRequest
	if err := readJSON(path, &wanted); err != nil {
		return err
	}
	l, err := Open(wanted.Spec, Options{State: wanted.State, Supervisor: wanted.Supervisor})
	if err != nil {
		return err
	}
	return do(l, context.Background())
}

// openLab describes a lab of so many hosts that meets no other test and no other run, and takes it down in the end.
func openLab(t *testing.T, hosts int) *Lab {
	t.Helper()
	if testing.Short() {
		t.Skip("boots hosts: not with -short")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	options := Options{State: t.TempDir(), Supervisor: []string{self, "supervise"}, Log: func(line string) { t.Log(line) }}
	if err := Check(options); err != nil {
		t.Skipf("this machine cannot run a lab:\n%v", err)
	}
	prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(128 + os.Getpid()/256%64), byte(os.Getpid()), 0}), 24)
	s := Spec{Name: fmt.Sprintf("test-%d", os.Getpid()), Repository: []string{"ethtool"},
		Networks: []Network{{Name: "management", CIDR: prefix, Access: true}, {Name: "underlay"}}}
	address := prefix.Addr().Next()
	for i := range hosts {
		address = address.Next()
		s.Hosts = append(s.Hosts, Host{Name: fmt.Sprintf("host%d", i+1), NICs: []NIC{
			{Name: "eth0", Network: "management", Address: netip.PrefixFrom(address, 24)},
			{Name: "eth1", Network: "underlay", MTU: 1600}}})
	}
	l, err := Open(s, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	return l
}

func upLab(t *testing.T, hosts int) *Lab {
	t.Helper()
	l := openLab(t, hosts)
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// ssh runs a command on a host with OpenSSH, as anybody would from a shell, and returns what it wrote.
func (l *Lab) ssh(t *testing.T, target, stdin string, command ...string) string {
	t.Helper()
	out, err := l.trySSH(t.Context(), target, stdin, command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *Lab) trySSH(ctx context.Context, target, stdin string, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", append([]string{"-F", l.SSHConfigPath(), "-o", "BatchMode=yes", target}, command...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ssh %s %q: %w: %s", target, command, err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// eventually waits for a condition of the machine.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func (l *Lab) mustStatus(t *testing.T) []HostStatus {
	t.Helper()
	found, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// traces lists all that is on this machine of a lab: what Down must leave nothing of.
func (l *Lab) traces(t *testing.T) []string {
	t.Helper()
	var found []string
	ours := func(text []byte) bool {
		return bytes.Contains(text, []byte(l.dir())) || bytes.Contains(text, []byte(fabricNetns(l.spec.Name)))
	}
	for what, pattern := range map[string]string{
		"process":   "/proc/[0-9]*/cmdline",
		"mount":     "/proc/[0-9]*/mountinfo", // those in private namespaces too
		"file":      l.dir(),
		"lock":      filepath.Join(l.options.State, ".*"),
		"namespace": netnsPath(fabricNetns(l.spec.Name)) + "*",
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if strings.HasPrefix(path, "/proc") && (err != nil || !ours(text)) {
				continue
			}
			found = append(found, what+" "+path)
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if strings.HasPrefix(link.Attrs().Name, machineLinkPrefix(l.spec.Name)) {
			found = append(found, "link "+link.Attrs().Name)
		}
	}
	groups, err := openCgroups()
	if err != nil {
		t.Fatal(err)
	}
	defer groups.close()
	if groups.at(l.spec.Name).exists() {
		found = append(found, "cgroup")
	}
	return found
}

// downLeavesNothing takes the lab down from its name alone.
func (l *Lab) downLeavesNothing(t *testing.T) {
	t.Helper()
	if len(l.traces(t)) == 0 {
		t.Fatal("there is nothing to take down: the test looks for the wrong traces")
	}
	found, err := Find(l.spec.Name, l.options)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A mount namespace ends in the kernel a moment after its last process.
	var left []string
	eventually(t, "nothing is left", func() bool { left = l.traces(t); return len(left) == 0 || t.Context().Err() != nil })
}

// writeUp describes to another process what lab to bring up.
func (l *Lab) writeUp(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "up.json")
	text, err := json.Marshal(upRequest{l.spec, l.options.State, l.options.Supervisor})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDownAfterIPNetns: ip-netns(8) makes /run/netns a mount of its own where
// nobody has, and must not lock our names in below it.
func TestDownAfterIPNetns(t *testing.T) {
	lab := openLab(t, 1)
	if err := lab.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := "beside-" + lab.spec.Name
	for _, verb := range []string{"add", "delete"} {
		if out, err := exec.Command("ip", "netns", verb, other).CombinedOutput(); err != nil {
			t.Fatalf("ip netns %s: %v: %s", verb, err, out)
		}
	}
	if err := lab.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := lab.traces(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRemoveLinkThatGoes: a namespace that ends takes the pairs into it along when the kernel finds the time, which may be
// between our seeing a link and our removing it.
func TestRemoveLinkThatGoes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: it makes a link")
	}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		veth := netlink.NewVeth(netlink.NewLinkAttrs())
		veth.Name, veth.PeerName = "near", "far"
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		seen, err := netlink.LinkByName("near")
		if err != nil {
			return err
		}
		far, err := netlink.LinkByName("far")
		if err != nil {
			return err
		}
		if err := netlink.LinkDel(far); err != nil {
			return err
		}
		return removeLink(seen)
	})
	if err != nil {
		t.Error(err)
	}
}
