package executor

import (
	"context"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

const (
	// maxJob and maxInline are the sizes, as JSON, up to which a job is taken and its result lies in its record. The record stays under 64 KiB.
	maxJob    = 32 << 10
	maxInline = 20 << 10
	// maxWhole bounds a result in the blob store; shrink has cut it before.
	maxWhole = 4 << 20
)

// outsource puts a large result into the blob store, and returns what of it
// stays in the record, with the digest of the whole; empty: all stays.
func outsource(ctx context.Context, b store.Blobs, res *executorv1.JobResult) (*executorv1.JobResult, string, error) {
	text, err := protojson.Marshal(res)
	if err != nil {
		return nil, "", err
	}
	if len(text) <= maxInline {
		return res, "", nil
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(res)
	if err != nil {
		return nil, "", err
	}
	digest, err := store.PutBytes(ctx, b, data)
	if err != nil {
		return nil, "", err
	}
	short := proto.Clone(res).(*executorv1.JobResult)
	short.Measurements, short.RefusedMeasurements, short.Outputs, short.Refused = nil, nil, nil, nil
	short.ProtectedTouched, short.Gpus = nil, nil
	return short, string(digest), nil
}

// whole is a record with all of its result. One whose lists cannot be had is
// an error: without its measurements it would be another result.
func (s *Service) whole(ctx context.Context, r *record) (*executorv1.JobRecord, error) {
	out := s.explain(ctx, r)
	if r.Whole == "" || !r.ended() {
		return out, nil
	}
	data, err := store.GetBytes(ctx, s.d.Blobs, store.Digest(r.Whole), maxWhole)
	if err != nil {
		return nil, err
	}
	out.Result = &executorv1.JobResult{}
	if err := proto.Unmarshal(data, out.Result); err != nil {
		return nil, fault.Wrap(err, fault.Internal, reasonDamaged, "the result of job %s cannot be read", r.GetJob().GetJobId())
	}
	return out, nil
}
