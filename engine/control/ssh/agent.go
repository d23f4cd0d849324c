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
	once    sync.Once
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
	k.once.Do(func() {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			k.err = fmt.Errorf("connect to the agent: %w", err)
			return
		}
		k.conn = conn
		if k.signers, err = agent.NewClient(conn).Signers(); err != nil {
			k.err = fmt.Errorf("ask the agent %s for its keys: %w", socket, err)
		}
	})
	return k.signers, k.err
}

func (a *agents) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.sockets {
		if k.conn != nil {
			_ = k.conn.Close()
		}
	}
}
