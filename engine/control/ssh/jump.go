package ssh

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// maxJumps is how many jump hosts a chain may have; more is a loop in the
// configuration.
const maxJumps = 8

// jumpHosts shares one connection to each jump host among all targets behind
// it.
type jumpHosts struct {
	dialer *Dialer
	ctx    context.Context // ends with the Dialer; a target that gives up must not end what others wait for
	cancel context.CancelFunc

	mu    sync.Mutex
	chain map[string]*jumpHost
}

type jumpHost struct {
	done   chan struct{} // closed when client or err is set
	client *Client
	err    error
}

func newJumpHosts(d *Dialer) jumpHosts {
	ctx, cancel := context.WithCancel(context.Background())
	return jumpHosts{dialer: d, ctx: ctx, cancel: cancel, chain: map[string]*jumpHost{}}
}

// client is the connection to the last of hops, made through those before it.
func (j *jumpHosts) client(ctx context.Context, hops []string) (*Client, error) {
	h := j.host(hops)
	select {
	case <-h.done:
		return h.client, h.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (j *jumpHosts) host(hops []string) *jumpHost {
	key := strings.Join(hops, ",")
	j.mu.Lock()
	defer j.mu.Unlock()
	if h := j.chain[key]; h != nil && !h.dead() {
		return h
	}
	h := &jumpHost{done: make(chan struct{})}
	j.chain[key] = h
	go func() {
		defer close(h.done)
		h.client, h.err = j.connect(hops)
	}()
	return h
}

// dead tells whether a jump host failed or was lost, so that the next target
// tries again.
func (h *jumpHost) dead() bool {
	select {
	case <-h.done:
		return h.err != nil || h.client.dead()
	default:
		return false
	}
}

// connect dials the last of hops through those before it, which is a shorter
// chain: it ends.
func (j *jumpHosts) connect(hops []string) (*Client, error) {
	before, last, err := j.last(hops)
	if err != nil {
		return nil, err
	}
	return j.dialer.dial(j.ctx, last, before)
}

// last splits the last of hops off and looks it up.
func (j *jumpHosts) last(hops []string) (before []string, s settings, err error) {
	t, err := parseHop(hops[len(hops)-1])
	if err != nil {
		return nil, s, err
	}
	s, err = j.dialer.settings(t)
	return hops[:len(hops)-1], s, err
}

// whole puts the jump hosts that the first hop has itself before it, as ssh -J
// does.
func (j *jumpHosts) whole(hops []string) ([]string, error) {
	for len(hops) > 0 {
		t, err := parseHop(hops[0])
		if err != nil {
			return nil, err
		}
		s, err := j.dialer.settings(t)
		if err != nil {
			return nil, err
		}
		if len(s.Jumps) == 0 {
			return hops, nil
		}
		hops = append(slices.Clone(s.Jumps), hops...)
		if len(hops) > maxJumps {
			return nil, fmt.Errorf("ProxyJump: more than %d jump hosts in a row (%s, …); does a jump host jump through itself?",
				maxJumps, strings.Join(hops[:3], ", "))
		}
	}
	return hops, nil
}

func (j *jumpHosts) close() {
	j.cancel()
	j.mu.Lock()
	hosts := make([]*jumpHost, 0, len(j.chain))
	for _, h := range j.chain {
		hosts = append(hosts, h)
	}
	j.mu.Unlock()
	for _, h := range hosts {
		<-h.done
		if h.client != nil {
			_ = h.client.Close()
		}
	}
}
