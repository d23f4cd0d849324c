package testlab

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keyPair is an SSH key in the forms that files want.
type keyPair struct {
	Private []byte // OpenSSH's PEM
	Public  string // one line of authorized_keys, without newline
}

func newKeyPair(comment string) (keyPair, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, fmt.Errorf("make a key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return keyPair{}, fmt.Errorf("write a private key: %w", err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		return keyPair{}, fmt.Errorf("write a public key: %w", err)
	}
	text := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(line)), "\n")
	return keyPair{Private: pem.EncodeToMemory(block), Public: text + " " + comment}, nil
}

// loadOrMakeKey returns the key pair at path, made there if it was not.
func loadOrMakeKey(path, comment string) (keyPair, error) {
	private, err := os.ReadFile(path)
	if err == nil {
		public, err := os.ReadFile(path + ".pub")
		if err == nil {
			return keyPair{Private: private, Public: strings.TrimSpace(string(public))}, nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return keyPair{}, fmt.Errorf("read the lab's key: %w", err)
	}
	pair, err := newKeyPair(comment)
	if err != nil {
		return keyPair{}, err
	}
	if err := writeFile(path, pair.Private, 0o600); err != nil {
		return keyPair{}, fmt.Errorf("keep the lab's key: %w", err)
	}
	if err := writeFile(path+".pub", []byte(pair.Public+"\n"), 0o644); err != nil {
		return keyPair{}, fmt.Errorf("keep the lab's key: %w", err)
	}
	return pair, nil
}

// addresses are those this machine reaches the host by: the described one, and its IPv6 companion if it has one.
func (s Spec) addresses(h Host) []netip.Addr {
	nic, ok := s.access(h)
	if !ok {
		return nil
	}
	found := []netip.Addr{nic.Address.Addr()}
	network, _ := s.network(nic.Network)
	if v6, ok := s.ipv6(network, nic.Address.Addr()); ok {
		found = append(found, v6.Addr())
	}
	return found
}

// SSHConfig returns the ssh_config(5) of the lab: its hosts by name, and by NAME-ipv6 over IPv6, with the lab's own key
// and known_hosts. Paths in it are absolute; it asks for nothing and trusts nothing that the lab does not know.
func (l *Lab) SSHConfig() ([]byte, error) {
	if len(l.spec.Hosts) == 0 {
		return nil, fmt.Errorf("lab %s: %w", l.spec.Name, ErrNoLab)
	}
	return renderSSHConfig(l.spec, l.sshDir()), nil
}

func renderSSHConfig(s Spec, dir string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Lab %s: written by weft lab up, removed by weft lab down.\n", s.Name)
	for _, h := range s.Hosts {
		for i, address := range s.addresses(h) {
			name := h.Name
			if i > 0 {
				name += "-ipv6"
			}
			fmt.Fprintf(&b, "\nHost %s\n\tHostName %s\n\tHostKeyAlias %s\n\tUser %s\n", name, address, h.Name, cmp.Or(h.User, "root"))
			fmt.Fprintf(&b, "\tIdentityFile %s\n\tIdentitiesOnly yes\n", filepath.Join(dir, "key"))
			fmt.Fprintf(&b, "\tUserKnownHostsFile %s\n\tGlobalKnownHostsFile /dev/null\n", filepath.Join(dir, "known_hosts"))
			b.WriteString("\tStrictHostKeyChecking yes\n\tUpdateHostKeys no\n")
		}
	}
	return []byte(b.String())
}

// renderKnownHosts names every host by its name and its addresses. hostKeys holds a public key line for each host name.
func renderKnownHosts(s Spec, hostKeys map[string]string) []byte {
	var b strings.Builder
	for _, h := range s.Hosts {
		names := []string{h.Name}
		for _, address := range s.addresses(h) {
			names = append(names, address.String())
		}
		fields := strings.Fields(hostKeys[h.Name])
		if len(fields) < 2 {
			continue // the host was never prepared
		}
		fmt.Fprintf(&b, "%s %s %s\n", strings.Join(names, ","), fields[0], fields[1])
	}
	return []byte(b.String())
}
