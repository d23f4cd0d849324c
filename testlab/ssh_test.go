package testlab

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func TestRenderSSHConfig(t *testing.T) {
	s := threeHosts()
	s.Hosts = s.Hosts[:2]
	s.Hosts[1].User = "deploy"
	s.Networks[0].CIDR = netip.MustParsePrefix("fd00:1::/64")
	s.Hosts[1].NICs[0].Address = netip.MustParsePrefix("fd00:1::3/64")
	got := string(renderSSHConfig(s, "/state/overlay/ssh"))
	v6 := s.addresses(s.Hosts[0])[1].String()
	want := `# Lab overlay: written by weft lab up, removed by weft lab down.

Host ubuntu1
	HostName 10.127.1.2
	HostKeyAlias ubuntu1
	User root
	IdentityFile /state/overlay/ssh/key
	IdentitiesOnly yes
	UserKnownHostsFile /state/overlay/ssh/known_hosts
	GlobalKnownHostsFile /dev/null
	StrictHostKeyChecking yes
	UpdateHostKeys no

Host ubuntu1-ipv6
	HostName ` + v6 + `
	HostKeyAlias ubuntu1
	User root
	IdentityFile /state/overlay/ssh/key
	IdentitiesOnly yes
	UserKnownHostsFile /state/overlay/ssh/known_hosts
	GlobalKnownHostsFile /dev/null
	StrictHostKeyChecking yes
	UpdateHostKeys no

Host ubuntu2
	HostName fd00:1::3
	HostKeyAlias ubuntu2
	User deploy
	IdentityFile /state/overlay/ssh/key
	IdentitiesOnly yes
	UserKnownHostsFile /state/overlay/ssh/known_hosts
	GlobalKnownHostsFile /dev/null
	StrictHostKeyChecking yes
	UpdateHostKeys no
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestKnownHostsAcceptsEachNameOfAHostAndNoOtherKey(t *testing.T) {
	s := threeHosts()
	dir := t.TempDir()
	keys, signers := map[string]string{}, map[string]ssh.PublicKey{}
	for _, h := range s.Hosts {
		pair, err := loadOrMakeKey(filepath.Join(dir, h.Name), h.Name)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.ParsePrivateKey(pair.Private)
		if err != nil {
			t.Fatal(err)
		}
		keys[h.Name], signers[h.Name] = pair.Public, signer.PublicKey()
	}
	path := filepath.Join(dir, "known_hosts")
	if err := os.WriteFile(path, renderKnownHosts(s, keys), 0o644); err != nil {
		t.Fatal(err)
	}
	accept, err := knownhosts.New(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range s.Hosts {
		names := []string{h.Name}
		for _, a := range s.addresses(h) {
			names = append(names, a.String())
		}
		for _, name := range names {
			at := netAddr(name)
			if err := accept(at.String(), at, signers[h.Name]); err != nil {
				t.Errorf("%s with its own key: %v", name, err)
			}
			if h.Name != "ubuntu3" && accept(at.String(), at, signers["ubuntu3"]) == nil {
				t.Errorf("%s is accepted with the key of ubuntu3", name)
			}
		}
	}
}

// netAddr is the address of a host's sshd as golang.org/x/crypto/ssh hands it to a callback.
type netAddr string

func (netAddr) Network() string { return "tcp" }
func (a netAddr) String() string {
	if strings.Contains(string(a), ":") {
		return "[" + string(a) + "]:22"
	}
	return string(a) + ":22"
}

func TestKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssh", "key")
	first, err := loadOrMakeKey(path, "lab")
	if err != nil {
		t.Fatal(err)
	}
	second, err := loadOrMakeKey(path, "lab")
	if err != nil || second.Public != first.Public || string(second.Private) != string(first.Private) {
		t.Errorf("the second time: %v %v, want the key of the first time", second.Public, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key's mode is %v, %v, want 0600", info.Mode(), err)
	}
}
