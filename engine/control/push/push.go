// Package push gets the runner onto a host and starts it.
//
//	images, err := push.Embedded()
//	session, err := push.Start(ctx, client, push.Options{
//		Images: images,
//		Become: &push.Become{},
//		First:  []wire.Request{{ID: 1, Hello: …}, {ID: 2, Check: …}},
//	})
//	defer session.Close()
//	event, err := session.Events.Read()
//
// The runner lies at /var/lib/weft/bin/DIGEST/weft-runner, DIGEST being the
// SHA-256 of its bytes, so an old runner is never taken for a new one, and many
// stay side by side for the undo records that name them. [Start] runs it
// straight away and sends the first requests along: a host that has it costs
// one session and one round trip. Only where that fails is the host looked at:
//
//   - A runner that is not there, or was half written when the power went, is
//     pushed and started again.
//   - Anything else is an [*Error] with a [Kind] and a next step.
//
// A push writes a temporary name in the directory of the final one, has the
// host check the digest, syncs and renames. The bytes go by SFTP; where SFTP is
// off, fails or sees other directories than the shell does, they go through
// the standard input of the installing shell, whose words about a full disk
// are also better than SFTP's.
//
// A user who is not root works through sudo. Root never opens a file by a name
// in that user's directories: the user's own shell reads the staged file and
// feeds it to root's, which checks the digest of the copy that it wrote itself.
// Whoever can write the cache can therefore make a push fail, and no more.
//
// Every command line sent is fixed text but for hexadecimal digests and random
// names made here, in one pair of single quotes, so that sh, bash, dash, fish
// and csh as login shells read the same.
package push

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	"weft/engine/control/ssh"
	"weft/engine/wire"
)

// Root is the directory of the runners on a host.
const Root = "/var/lib/weft/bin"

// Become says how a user who is not root becomes root: sudo(8), without a
// password where Password is nil.
type Become struct {
	Password ssh.Secret
}

// Options are how to start.
type Options struct {
	Images Images
	// Become is nil for a login as root. A login as root ignores it.
	Become *Become
	// First are the first requests, at least one: a runner says nothing
	// until it is asked, and Start returns when it speaks.
	First []wire.Request
	// Log is told each line of the runner's stderr as it comes, neutralised.
	// It may be nil. It is called from another goroutine.
	Log func(line string)
	// Pushing is told before an image is pushed. It may be nil.
	Pushing func(Image)
}

// Start starts the runner on a host, pushing it first if need be. The ctx is
// for starting; a session that was returned lasts until its Close. Errors are
// [*Error], or [*ssh.Error] where the connection died.
func Start(ctx context.Context, client *ssh.Client, o Options) (*Session, error) {
	if len(o.First) == 0 {
		panic("push: Start without a first request")
	}
	if len(o.Images) == 0 {
		return nil, ErrNotBuilt
	}
	if client.User() == "root" {
		o.Become = nil
	}
	s := &starter{host: root{client, o.Become}, options: o}
	session, err := s.launch(ctx)
	var f *fault
	if !errors.As(err, &f) {
		return session, err
	}
	return s.repair(ctx, f)
}

// A starter starts the runner on one host.
type starter struct {
	host    root
	options Options
}

// repair looks why a runner did not start, pushes it where that is the cure,
// and starts it again.
func (s *starter) repair(ctx context.Context, f *fault) (*Session, error) {
	if k := f.kind(); k.sudo() || k == Silent || k == Endless || k == Unsafe {
		return nil, s.explain(f)
	}
	seen, err := s.probe(ctx)
	if err != nil {
		return nil, err
	}
	image, err := s.choose(seen)
	if err != nil {
		return nil, err
	}
	if seen.digests[image.Digest] == image.Digest {
		return nil, s.explain(f)
	}
	if s.options.Pushing != nil {
		s.options.Pushing(image)
	}
	if err := s.push(ctx, image); err != nil {
		return nil, err
	}
	s.options.Images = Images{image}
	session, err := s.launch(ctx)
	if errors.As(err, &f) {
		failure := s.explain(f)
		if failure.Kind == NoExec || failure.Kind == CannotRun {
			// Nothing is left behind on a host that can never use it.
			_, _ = s.host.run(ctx, removeScript(image.Digest), nil)
		}
		return nil, failure
	}
	return session, err
}

// nonce makes a temporary name that nobody else uses.
func nonce() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}
