package local

import (
	"context"
	"errors"
	"slices"
	"strings"

	"weft/engine/host"
)

// Domains implements [host.LibvirtReader], by one call. A connection that was
// lost since is dialled once more.
func (l *Libvirt) Domains(ctx context.Context) ([]host.DomainName, error) {
	all, err := l.domains(ctx)
	if errors.Is(err, host.ErrOutcomeUnknown) && ctx.Err() == nil {
		all, err = l.domains(ctx)
	}
	return all, err
}

func (l *Libvirt) domains(ctx context.Context) (all []host.DomainName, err error) {
	err = l.with(ctx, func(c *libvirtConn) error {
		reply, err := c.call(procListAllDomains, new(xdr).number(1).number(0)) // the domains and not their count; no filter
		if err != nil {
			return err
		}
		all, err = reply.domains()
		return err
	})
	return all, refusedTo("list the domains", err)
}

// domains reads a remote_connect_list_all_domains_ret: the domains, and how many
// there are. A list that is cut short is an error, and never a shorter list: who
// is not in it is taken for dead.
func (r *xdrReader) domains() ([]host.DomainName, error) {
	var all []host.DomainName
	listed := r.number()
	for n := listed; n > 0 && r.err == nil; n-- {
		start := r.rest
		d := host.DomainName{Name: r.text()}
		r.take(16)
		r.number() // the id of one that runs, or -1
		if r.err == nil {
			d.UUID = uuidText(start)
			all = append(all, d)
		}
	}
	count := r.number()
	switch {
	case r.err != nil:
		return nil, r.err
	case count != listed:
		return nil, errors.New("libvirtd counts other domains than it lists")
	}
	slices.SortFunc(all, func(a, b host.DomainName) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
