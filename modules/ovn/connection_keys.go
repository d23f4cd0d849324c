package ovn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// withKeys is a connection that needs keys and certificates where it speaks TLS:
// without them ovsdb-server opens no socket, and says so in its log alone.
type withKeys struct {
	step.Step
	want ConnectionSpec
}

// Check looks for them first.
func (w withKeys) Check(ctx context.Context, v host.View) (step.Finding, error) {
	t, err := parseTarget(w.want.Target)
	if err == nil && t.secure() && w.want.State.There() {
		if err := w.keys(ctx, v); err != nil {
			return step.Finding{}, err
		}
	}
	return w.Step.Check(ctx, v)
}

// keys looks for the row SSL, and for the files that it names.
func (w withKeys) keys(ctx context.Context, v host.View) error {
	db, root := w.want.door()
	found, err := selectRows(ctx, v.OVSDB, db, row.Select(root, []string{"ssl"}), row.Select("SSL", nil))
	if err != nil {
		return err
	}
	if len(found[0]) == 0 || row.Ref(found[0][0], "ssl") == "" {
		return fmt.Errorf("%s needs keys, and the %s database names none; a step \"ovsdb_ssl\" before it does: %w", w.want.Target, w.want.Database, step.ErrNotYet)
	}
	ssl := row.ByID(found[1])[row.Ref(found[0][0], "ssl")]
	for _, column := range []string{"private_key", "certificate"} {
		path := row.String(ssl, column)
		_, err := v.Files.Stat(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s needs the %s %s of the %s database's row SSL, which is not there; steps \"tls_key\", \"file\" and \"ovsdb_ssl\" before it bring it: %w",
				w.want.Target, column, path, w.want.Database, step.ErrNotYet)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
