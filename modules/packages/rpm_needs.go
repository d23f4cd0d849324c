package packages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
)

// dependents are what rpm names in a line "CAPABILITY is needed by (installed)
// NEVRA": what is needed, and by whom.
type dependent struct{ capability, key string }

// breaks asks rpm what would lack something if packages went.
func breaks(ctx context.Context, v host.View, nevras []string) ([]dependent, error) {
	r, err := v.Commands.Query(ctx, host.Command{Argv: append([]string{"rpm", "-e", "--test"}, nevras...), Timeout: 2 * time.Minute})
	if err == nil {
		return nil, nil
	}
	found := parseBreaks(string(r.Stderr) + string(r.Stdout))
	var exit *host.ExitError
	if !errors.As(err, &exit) || len(found) == 0 {
		return nil, fmt.Errorf("ask rpm what needs %s: %w", strings.Join(nevras, " "), explained(err))
	}
	return found, nil
}

func parseBreaks(text string) []dependent {
	var found []dependent
	for line := range strings.Lines(text) {
		capability, who, ok := strings.Cut(strings.TrimSpace(line), " is needed by ")
		if !ok {
			continue
		}
		who = strings.TrimSpace(strings.TrimPrefix(who, "(installed)"))
		if key, ok := keyOfNEVRA(who); ok && capability != "" {
			found = append(found, dependent{capability, key})
		}
	}
	return found
}

// goesAlong are the packages that must go with keys, since they need them.
func (t rpmTable) goesAlong(ctx context.Context, v host.View, keys []string) ([]string, error) {
	all := slices.Clone(keys)
	for {
		found, err := breaks(ctx, v, t.nevras(all))
		if err != nil {
			return nil, err
		}
		before := len(all)
		for _, d := range found {
			if t[d.key].there() && !slices.Contains(all, d.key) {
				all = append(all, d.key)
			}
		}
		if len(all) == before {
			along := all[len(keys):]
			slices.Sort(along)
			return along, nil
		}
	}
}

// spareable leaves of keys what nothing else needs. Needed says who needs the rest.
func (t rpmTable) spareable(ctx context.Context, v host.View, keys []string) (spare []string, needed map[string]string, err error) {
	spare, needed = slices.Clone(keys), map[string]string{}
	for len(spare) > 0 {
		found, err := breaks(ctx, v, t.nevras(spare))
		if err != nil || len(found) == 0 {
			return spare, needed, err
		}
		providers, err := t.providers(ctx, v, found)
		if err != nil {
			return nil, nil, err
		}
		before := len(spare)
		spare = slices.DeleteFunc(spare, func(key string) bool {
			by, ok := providers[key]
			if ok {
				needed[key] = by
			}
			return ok
		})
		if len(spare) == before {
			return nil, nil, fmt.Errorf("rpm says that %s is needed by %s, and not what provides it", found[0].capability, found[0].key)
		}
	}
	return spare, needed, nil
}

// providers are the packages that provide what others need, with one of the others.
func (t rpmTable) providers(ctx context.Context, v host.View, needs []dependent) (map[string]string, error) {
	out := map[string]string{}
	asked := map[string]bool{}
	for _, need := range needs {
		capability, _, _ := strings.Cut(need.capability, " ") // without "= 1.1"
		if asked[capability] {
			continue
		}
		asked[capability] = true
		r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"rpm", "-q", "--whatprovides", capability, "--qf", rpmFormat}, Timeout: time.Minute})
		if err != nil {
			return nil, fmt.Errorf("ask rpm what provides %s: %w", capability, explained(err))
		}
		found, err := parseRPMs(string(r.Stdout))
		if err != nil {
			return nil, err
		}
		for key := range found {
			out[key] = need.key
		}
	}
	return out, nil
}

// neededBy are the packages that the roots need, themselves included, and those that
// capabilities need, as far as the names of capabilities tell: files that are needed are
// not looked up.
func neededBy(ctx context.Context, v host.View, roots, capabilities []string) (map[string]bool, error) {
	const format = `%{NAME}\t%{ARCH}\t[%{PROVIDENAME} ]\t[%{REQUIRENAME} ]\n`
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"rpm", "-qa", "--qf", format}, Timeout: 5 * time.Minute})
	if err != nil {
		return nil, fmt.Errorf("ask rpm what packages need: %w", explained(err))
	}
	providers, needs := parseNeeds(string(r.Stdout))
	seen := map[string]bool{}
	todo := slices.Clone(roots)
	for _, capability := range capabilities {
		todo = append(todo, providers[capability]...)
	}
	for len(todo) > 0 {
		key := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[key] {
			continue
		}
		seen[key] = true
		for _, capability := range needs[key] {
			todo = append(todo, providers[capability]...)
		}
	}
	return seen, nil
}

// parseNeeds reads what packages provide and require. A rich dependency ("(a if b)")
// counts by its words.
func parseNeeds(text string) (providers, needs map[string][]string) {
	providers, needs = map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(text) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(words) != 4 {
			continue
		}
		key := keyOf(words[0], words[1])
		for _, capability := range strings.Fields(words[2]) {
			providers[capability] = append(providers[capability], key)
		}
		for _, capability := range strings.Fields(words[3]) {
			needs[key] = append(needs[key], strings.TrimPrefix(capability, "("))
		}
	}
	return providers, needs
}
