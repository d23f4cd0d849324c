package ssh

import (
	"fmt"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agents keeps one connection to each agent socket of a run.
type agents struct {
	mu      sync.Mutex
	sockets map[string]*agentKeys
}

// agentKeys are the keys of an agent, as they were when it was first asked.
type agentKeys struct {
	mu      sync.Mutex
	asked   bool
	conn    net.Conn
	signers []ssh.Signer
	err     error
}

func (a *agents) signers(socket string) ([]ssh.Signer, error) {
	a.mu.Lock()
	k := a.sockets[socket]
	if k == nil {
		k = &agentKeys{}
		a.sockets[socket] = k
	}
	a.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.asked {
		k.ask(socket)
		k.asked = !isExhausted(k.err) // that says nothing of the agent
	}
	return k.signers, k.err
}

func (k *agentKeys) ask(socket string) {
	if k.conn, k.err = net.Dial("unix", socket); k.err != nil {
		k.err = fmt.Errorf("connect to the agent: %w", k.err)
		return
	}
	if k.signers, k.err = agent.NewClient(k.conn).Signers(); k.err != nil {
		k.err = fmt.Errorf("ask the agent %s for its keys: %w", socket, k.err)
	}
}

func (a *agents) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.sockets {
		k.mu.Lock()
		if k.conn != nil {
			_ = k.conn.Close()
		}
		k.mu.Unlock()
	}
}
