// Package llm is the only door to language models.
//
// A call passes, in this order: the model's name and what the model can do; the ledger, which has the answer if the call was
// made before; the budget, which reserves the worst case; the provider's rate; the provider, with tries; the ledger again;
// the budget again. A recording replaces everything between the two looks at the ledger.
//
// What a model does with a sound request is a Reply, also when it refuses or is cut. An error is a broken part: a missing
// key, a provider that is down, a budget that is used up. Every such error is a fault with reason, sentence and next command.
//
// The subpackages ledger, budget and recording link no model SDK, so that the gateway can read them.
package llm
